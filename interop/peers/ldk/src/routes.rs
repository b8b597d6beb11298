//! LDK's router, with the choice of channels that a payment may leave by, and the count of its parts.

use std::collections::HashMap;
use std::sync::Mutex;

use bitcoin::secp256k1::{PublicKey, Secp256k1, Signing, Verification};
use lightning::blinded_path::payment::{BlindedPaymentPath, ReceiveTlvs};
use lightning::ln::channel_state::ChannelDetails;
use lightning::ln::channelmanager::PaymentId;
use lightning::ln::types::ChannelId;
use lightning::routing::router::{InFlightHtlcs, Route, RouteParameters, Router as LdkRouterTrait};
use lightning::types::payment::PaymentHash;

use crate::types::LdkRouter;

pub struct Router {
    inner: LdkRouter,
    outgoing: Mutex<HashMap<PaymentHash, Vec<ChannelId>>>,
    parts: Mutex<HashMap<PaymentHash, u64>>,
}

impl Router {
    pub fn new(inner: LdkRouter) -> Self {
        Self { inner, outgoing: Mutex::new(HashMap::new()), parts: Mutex::new(HashMap::new()) }
    }

    /// Let a payment leave by these channels only; by any when there are none.
    pub fn restrict(&self, hash: PaymentHash, channels: Vec<ChannelId>) {
        self.parts.lock().unwrap().remove(&hash);
        if channels.is_empty() {
            self.outgoing.lock().unwrap().remove(&hash);
        } else {
            self.outgoing.lock().unwrap().insert(hash, channels);
        }
    }

    /// How many parts of a payment are under way or arrived.
    pub fn parts(&self, hash: &PaymentHash) -> u64 {
        self.parts.lock().unwrap().get(hash).copied().unwrap_or(0)
    }

    /// A part came back.
    pub fn part_failed(&self, hash: &PaymentHash) {
        if let Some(count) = self.parts.lock().unwrap().get_mut(hash) {
            *count = count.saturating_sub(1);
        }
    }

    /// Nobody asks for a payment's parts any more.
    pub fn forget(&self, hash: &PaymentHash) {
        self.outgoing.lock().unwrap().remove(hash);
        self.parts.lock().unwrap().remove(hash);
    }
}

impl LdkRouterTrait for Router {
    fn find_route(
        &self, payer: &PublicKey, params: &RouteParameters, first_hops: Option<&[&ChannelDetails]>,
        in_flight: InFlightHtlcs,
    ) -> Result<Route, &'static str> {
        self.inner.find_route(payer, params, first_hops, in_flight)
    }

    fn find_route_with_id(
        &self, payer: &PublicKey, params: &RouteParameters, first_hops: Option<&[&ChannelDetails]>,
        in_flight: InFlightHtlcs, hash: PaymentHash, payment_id: PaymentId,
    ) -> Result<Route, &'static str> {
        let allowed = self.outgoing.lock().unwrap().get(&hash).cloned();
        let chosen: Option<Vec<&ChannelDetails>> = match (first_hops, allowed) {
            (Some(hops), Some(allowed)) => {
                Some(hops.iter().copied().filter(|hop| allowed.contains(&hop.channel_id)).collect())
            }
            (Some(hops), None) => Some(hops.to_vec()),
            (None, _) => None,
        };
        let route = self.inner.find_route_with_id(payer, params, chosen.as_deref(), in_flight, hash, payment_id)?;
        *self.parts.lock().unwrap().entry(hash).or_insert(0) += route.paths.len() as u64;
        Ok(route)
    }

    fn create_blinded_payment_paths<T: Signing + Verification>(
        &self, recipient: PublicKey, first_hops: Vec<ChannelDetails>, tlvs: ReceiveTlvs, amount_msat: Option<u64>,
        secp: &Secp256k1<T>,
    ) -> Result<Vec<BlindedPaymentPath>, ()> {
        self.inner.create_blinded_payment_paths(recipient, first_hops, tlvs, amount_msat, secp)
    }
}
