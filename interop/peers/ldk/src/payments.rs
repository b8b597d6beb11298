//! Payments out and in.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bitcoin::hashes::{sha256, Hash};
use bitcoin::hex::FromHex;
use bitcoin::secp256k1::PublicKey;
use lightning::ln::channelmanager::{
    Bolt11InvoiceParameters, PaymentId, RecentPaymentDetails, RecipientOnionFields, Retry,
};
use lightning::routing::router::{PaymentParameters, RouteParameters, RouteParametersConfig};
use lightning::sign::EntropySource;
use lightning::types::payment::{PaymentHash, PaymentPreimage, PaymentSecret};
use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescription, Description};
use serde_json::{json, Value};

use crate::channels::ids_of;
use crate::node::Node;
use crate::records::{sent_answer, Sent};
use crate::text::{hex, refused, Outcome, Params};

const RETRIES: Retry = Retry::Attempts(10);
/// A payment of many waits so long for a slot in the channel.
const ROOM: Duration = Duration::from_secs(60);
const ROOM_LOOK: Duration = Duration::from_millis(20);
const FINAL_CLTV_EXPIRY_DELTA: u64 = 42;

/// Payments that were begun but that LDK never saw are over: they cannot have left without it.
pub fn forget_unsent(node: &Node) {
    let known: Vec<String> = node
        .manager
        .list_recent_payments()
        .iter()
        .map(|one| match one {
            RecentPaymentDetails::AwaitingInvoice { payment_id }
            | RecentPaymentDetails::Pending { payment_id, .. }
            | RecentPaymentDetails::Fulfilled { payment_id, .. }
            | RecentPaymentDetails::Abandoned { payment_id, .. } => hex(&payment_id.0),
        })
        .collect();
    for (hash, sent) in node.records.all_sent() {
        if sent.status == "pending" && !known.contains(&hash) {
            node.records.change_sent(&hash, |sent| {
                sent.status = "failed".into();
                sent.failure = "not_sent".into();
                sent.failure_hop = Some(0);
            });
        }
    }
}

pub fn create_invoice(node: &Node, params: &Params) -> Outcome<Value> {
    let description = Description::new(params.text("description")?.to_string()).map_err(refused)?;
    let payment_hash = match params.text("payment_hash") {
        Ok(_) => Some(PaymentHash(params.bytes32("payment_hash")?)),
        Err(_) => None,
    };
    let wanted = Bolt11InvoiceParameters {
        amount_msats: params.number_or_none("amount_msat"),
        description: Bolt11InvoiceDescription::Direct(description),
        invoice_expiry_delta_secs: Some(params.number("expiry_seconds")? as u32),
        min_final_cltv_expiry_delta: None,
        payment_hash,
    };
    let invoice = node.manager.create_bolt11_invoice(wanted).map_err(|error| refused(format!("{error:?}")))?;
    Ok(json!(invoice.to_string()))
}

/// Note that a payment begins; nothing may be under way for that hash.
fn begin(node: &Node, hash: &str, amount_msat: u64) -> Outcome<()> {
    if node.records.sent(hash).is_some_and(|sent| sent.status != "failed") {
        return Err(refused("this payment hash is paid or under way"));
    }
    let fresh = Sent { status: "pending".into(), amount_msat, ..Sent::default() };
    node.records.change_sent(hash, |sent| *sent = fresh);
    Ok(())
}

/// LDK said no at once: the payment is over.
fn not_begun(node: &Node, hash: &str, why: &str) {
    node.records.change_sent(hash, |sent| {
        sent.status = "failed".into();
        sent.failure = why.into();
        sent.failure_hop = Some(0);
    });
}

fn start_invoice(node: &Node, params: &Params, invoice: &Bolt11Invoice) -> Outcome<String> {
    let hash = PaymentHash(invoice.payment_hash().to_byte_array());
    let name = hex(&hash.0);
    let given = params.number_or_none("amount_msat");
    let amount = invoice.amount_milli_satoshis().or(given).ok_or_else(|| refused("the invoice has no amount"))?;
    begin(node, &name, amount)?;
    node.router.restrict(hash, ids_of(node, &params.texts("outgoing_channels")));
    let default = RouteParametersConfig::default();
    let limits = RouteParametersConfig {
        max_total_routing_fee_msat: params.number_or_none("fee_limit_msat"),
        max_path_count: params.number_or_none("max_parts").map_or(default.max_path_count, |parts| parts as u8),
        max_channel_saturation_power_of_half: 0,
        ..default
    };
    let begun = match params.number_or_none("final_cltv_expiry_delta") {
        None => node
            .manager
            .pay_for_bolt11_invoice(invoice, PaymentId(hash.0), given, limits, RETRIES)
            .map_err(|error| format!("{error:?}")),
        Some(delta) => start_with_delta(node, invoice, amount, limits, delta),
    };
    if let Err(error) = begun {
        not_begun(node, &name, reason_of(&error));
    }
    node.wake.notify_one();
    Ok(name)
}

/// The name that LDK gives later failures of the same kind.
fn reason_of(error: &str) -> &str {
    if error.contains("RouteNotFound") {
        "no_route"
    } else if error.contains("PaymentExpired") {
        "payment_expired"
    } else {
        error
    }
}

/// The invoice says another delta than the one wanted: this needs a payment made by hand.
fn start_with_delta(
    node: &Node, invoice: &Bolt11Invoice, amount_msat: u64, limits: RouteParametersConfig, delta: u64,
) -> Result<(), String> {
    let hash = PaymentHash(invoice.payment_hash().to_byte_array());
    let mut to = PaymentParameters::from_node_id(invoice.get_payee_pub_key(), delta as u32)
        .with_route_hints(invoice.route_hints())
        .map_err(|()| "hints".to_string())?
        .with_max_path_count(limits.max_path_count)
        .with_max_channel_saturation_power_of_half(0);
    if let Some(features) = invoice.features() {
        to = to.with_bolt11_features(features.clone()).map_err(|()| "features".to_string())?;
    }
    let mut route = RouteParameters::from_payment_params_and_value(to, amount_msat);
    route.max_total_routing_fee_msat = limits.max_total_routing_fee_msat.or(route.max_total_routing_fee_msat);
    let onion = RecipientOnionFields::secret_only(*invoice.payment_secret());
    let begun = node.manager.send_payment(hash, onion, PaymentId(hash.0), route, RETRIES);
    begun.map_err(|error| format!("{error:?}"))
}

/// Begin to pay an invoice; returns when that cannot be forgotten any more.
pub async fn pay(node: &Node, params: &Params) -> Outcome<Value> {
    let invoice = Bolt11Invoice::from_str(params.text("invoice")?).map_err(refused)?;
    let hash = start_invoice(node, params, &invoice)?;
    node.durable().await;
    Ok(json!(hash))
}

fn direct(peer: PublicKey, delta: u64, amount_msat: u64) -> RouteParameters {
    let to = PaymentParameters::for_keysend(peer, delta as u32, false).with_max_channel_saturation_power_of_half(0);
    RouteParameters::from_payment_params_and_value(to, amount_msat)
}

pub async fn keysend(node: &Node, params: &Params) -> Outcome<Value> {
    let (peer, amount_msat) = (params.node_id()?, params.number("amount_msat")?);
    let preimage = PaymentPreimage(node.keys.get_secure_random_bytes());
    let hash = PaymentHash(sha256::Hash::hash(&preimage.0).to_byte_array());
    let mut records = Vec::new();
    for (kind, value) in params.0["custom_records"].as_object().into_iter().flatten() {
        let kind = kind.parse().map_err(|_| refused("a record's type is a number"))?;
        let value = value.as_str().and_then(|text| Vec::from_hex(text).ok());
        records.push((kind, value.ok_or_else(|| refused("a record's value is hexadecimal"))?));
    }
    let onion = RecipientOnionFields::spontaneous_empty()
        .with_custom_tlvs(records)
        .map_err(|()| refused("LDK does not send records of these types"))?;
    let name = hex(&hash.0);
    begin(node, &name, amount_msat)?;
    node.router.restrict(hash, Vec::new());
    let route = direct(peer, FINAL_CLTV_EXPIRY_DELTA, amount_msat);
    let begun = node.manager.send_spontaneous_payment(Some(preimage), onion, PaymentId(hash.0), route, RETRIES);
    if let Err(error) = begun {
        not_begun(node, &name, reason_of(&format!("{error:?}")));
    }
    node.durable().await;
    Ok(json!(name))
}

/// Pay a hash that nobody gave us an invoice for.
pub async fn pay_hash(node: &Node, params: &Params) -> Outcome<Value> {
    let (peer, amount_msat) = (params.node_id()?, params.number("amount_msat")?);
    let hash = PaymentHash(params.bytes32("payment_hash")?);
    let secret = match params.text("payment_secret") {
        Ok(_) => params.bytes32("payment_secret")?,
        Err(_) => node.keys.get_secure_random_bytes(),
    };
    let name = hex(&hash.0);
    begin(node, &name, amount_msat)?;
    node.router.restrict(hash, Vec::new());
    let delta = params.number_or_none("final_cltv_expiry_delta").unwrap_or(FINAL_CLTV_EXPIRY_DELTA);
    let to = PaymentParameters::from_node_id(peer, delta as u32).with_max_channel_saturation_power_of_half(0);
    let route = RouteParameters::from_payment_params_and_value(to, amount_msat);
    let onion = RecipientOnionFields::secret_only(PaymentSecret(secret));
    if let Err(error) = node.manager.send_payment(hash, onion, PaymentId(hash.0), route, Retry::Attempts(0)) {
        not_begun(node, &name, reason_of(&format!("{error:?}")));
    }
    node.durable().await;
    Ok(json!(name))
}

/// Pay many invoices and wait for all; the clock runs here, near to the node.
pub async fn pay_all(node: &Arc<Node>, params: &Params) -> Outcome<Value> {
    let mut invoices = VecDeque::new();
    for text in params.texts("invoices") {
        invoices.push_back(Bolt11Invoice::from_str(&text).map_err(refused)?);
    }
    let todo = Arc::new(Mutex::new(invoices));
    let begun = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..params.number("in_flight")? {
        let (node, todo) = (Arc::clone(node), Arc::clone(&todo));
        workers.push(tokio::spawn(async move { pay_in_turn(&node, &todo).await }));
    }
    let (mut latencies_ms, mut failed) = (Vec::new(), 0);
    for worker in workers {
        let (latencies, failures) = worker.await.map_err(refused)?;
        latencies_ms.extend(latencies);
        failed += failures;
    }
    Ok(json!({"seconds": begun.elapsed().as_secs_f64(), "failed": failed, "latencies_ms": latencies_ms}))
}

async fn pay_in_turn(node: &Arc<Node>, todo: &Mutex<VecDeque<Bolt11Invoice>>) -> (Vec<f64>, u64) {
    let (mut latencies_ms, mut failed) = (Vec::new(), 0);
    loop {
        let Some(invoice) = todo.lock().unwrap().pop_front() else { return (latencies_ms, failed) };
        let begun = Instant::now();
        let mut succeeded = pay_to_the_end(node, &invoice).await;
        while !succeeded && has_no_room(node, &invoice) && begun.elapsed() < ROOM {
            tokio::time::sleep(ROOM_LOOK).await;
            succeeded = pay_to_the_end(node, &invoice).await;
        }
        failed += u64::from(!succeeded);
        latencies_ms.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
}

async fn pay_to_the_end(node: &Node, invoice: &Bolt11Invoice) -> bool {
    let ended = node.records.wait_sent(&hex(&invoice.payment_hash().to_byte_array()));
    start_invoice(node, &Params(Value::Null), invoice).is_ok() && ended.await.unwrap_or(false)
}

/// A fulfilled HTLC keeps its slot until both sides have committed its removal: with 400 under way 483 slots run out.
fn has_no_room(node: &Node, invoice: &Bolt11Invoice) -> bool {
    let sent = node.records.sent(&hex(&invoice.payment_hash().to_byte_array()));
    sent.is_some_and(|sent| sent.failure == "no_route")
}

pub fn payment(node: &Node, params: &Params) -> Outcome<Value> {
    let hash = params.text("payment_hash")?;
    let sent = node.records.sent(hash).ok_or_else(|| refused("there is no such payment"))?;
    Ok(sent_answer(hash, &sent))
}

pub fn payments(node: &Node) -> Value {
    node.records.all_sent().iter().map(|(hash, sent)| sent_answer(hash, sent)).collect()
}

pub fn held(node: &Node, params: &Params) -> Outcome<Value> {
    Ok(json!(node.records.received(params.text("payment_hash")?).held_msat.is_some()))
}

pub fn settle(node: &Node, params: &Params) -> Outcome<Value> {
    let preimage = PaymentPreimage(params.bytes32("preimage")?);
    let hash = hex(sha256::Hash::hash(&preimage.0).as_byte_array());
    if node.records.received(&hash).held_msat.is_none() {
        return Err(refused("no payment waits for this preimage"));
    }
    node.manager.claim_funds_with_known_custom_tlvs(preimage);
    node.wake.notify_one();
    Ok(Value::Null)
}

/// Fail what is held, and whatever comes later for the hash.
pub async fn cancel(node: &Node, params: &Params) -> Outcome<Value> {
    let hash = params.text("payment_hash")?;
    node.records.make_void(hash);
    if node.records.received(hash).held_msat.is_some() {
        node.records.change_received(hash, |received| received.held_msat = None);
        node.manager.fail_htlc_backwards(&PaymentHash(params.bytes32("payment_hash")?));
    }
    node.durable().await;
    Ok(Value::Null)
}

pub fn received(node: &Node, params: &Params) -> Outcome<Value> {
    let received = node.records.received(params.text("payment_hash")?);
    let records = if received.claims.is_empty() { Default::default() } else { received.custom_records };
    Ok(json!({"msat": received.claims.values().sum::<u64>(), "custom_records": records}))
}
