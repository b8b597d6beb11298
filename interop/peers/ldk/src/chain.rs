//! The chain service: JSON-RPC calls, fee estimates, broadcasts.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Transaction, Txid};
use lightning::chain::chaininterface::{BroadcasterInterface, ConfirmationTarget, FeeEstimator};
use lightning_block_sync::http::{HttpEndpoint, JsonResponse};
use lightning_block_sync::rpc::RpcClient;
use serde_json::{json, Value};
use tokio::sync::mpsc;

use crate::ledger::Ledger;
use crate::log::Log;

/// LDK's and the protocol's lowest feerate, satoshis per 1000 weight.
pub const FEERATE_MIN: u32 = 253;
const SAT_PER_KW_PER_BTC_PER_KVB: f64 = 25_000_000.0;
const ESTIMATE_BLOCKS: u32 = 3;

/// Any answer of the chain service.
pub struct Answer(pub Value);

impl TryFrom<JsonResponse> for Answer {
    type Error = io::Error;

    fn try_from(response: JsonResponse) -> Result<Self, io::Error> {
        Ok(Self(response.0))
    }
}

/// Connect to the chain service. credentials: base64 of `user:password`.
pub fn client(port: u16, credentials: &str) -> RpcClient {
    RpcClient::new(credentials, HttpEndpoint::for_host("127.0.0.1".into()).with_port(port))
}

pub async fn call(rpc: &RpcClient, method: &str, params: &[Value]) -> Result<Value, String> {
    rpc.call_method::<Answer>(method, params).await.map(|answer| answer.0).map_err(|error| error.to_string())
}

/// One estimate for every target, or what the driver says instead.
pub struct Fees {
    estimated: AtomicU32,
    told: AtomicU32,
}

impl Fees {
    pub fn new() -> Self {
        Self { estimated: AtomicU32::new(FEERATE_MIN), told: AtomicU32::new(0) }
    }

    /// Believe in this feerate, satoshis per 1000 weight, whatever the chain service says.
    pub fn tell(&self, feerate_per_kw: u32) {
        self.told.store(feerate_per_kw, Ordering::Relaxed);
    }

    pub fn feerate_per_kw(&self) -> u32 {
        match self.told.load(Ordering::Relaxed) {
            0 => self.estimated.load(Ordering::Relaxed),
            told => told,
        }
    }

    /// Ask the chain service again; what it does not know stays.
    pub async fn refresh(&self, rpc: &RpcClient) {
        let Ok(answer) = call(rpc, "estimatesmartfee", &[json!(ESTIMATE_BLOCKS)]).await else { return };
        if let Some(rate) = answer["feerate"].as_f64() {
            let feerate = (rate * SAT_PER_KW_PER_BTC_PER_KVB).round() as u32;
            self.estimated.store(feerate.max(FEERATE_MIN), Ordering::Relaxed);
        }
    }
}

impl FeeEstimator for Fees {
    fn get_est_sat_per_1000_weight(&self, target: ConfirmationTarget) -> u32 {
        let rate = self.feerate_per_kw();
        match target {
            ConfirmationTarget::MaximumFeeEstimate => rate.saturating_mul(4).max(10_000),
            ConfirmationTarget::MinAllowedAnchorChannelRemoteFee | ConfirmationTarget::ChannelCloseMinimum => {
                FEERATE_MIN
            }
            ConfirmationTarget::MinAllowedNonAnchorChannelRemoteFee => (rate / 4).max(FEERATE_MIN),
            _ => rate.max(FEERATE_MIN),
        }
    }
}

/// Takes transactions from LDK at any moment and hands them to the chain service one after the other.
pub struct Broadcaster {
    queue: mpsc::UnboundedSender<Vec<Transaction>>,
    accepted: Mutex<HashSet<Txid>>,
    ledger: Arc<Ledger>,
}

impl Broadcaster {
    pub fn new(ledger: Arc<Ledger>) -> (Self, mpsc::UnboundedReceiver<Vec<Transaction>>) {
        let (queue, receiver) = mpsc::unbounded_channel();
        (Self { queue, accepted: Mutex::default(), ledger }, receiver)
    }

    /// Whether the chain service has taken a transaction of ours in this life.
    pub fn has_accepted(&self, txid: &Txid) -> bool {
        self.accepted.lock().unwrap().contains(txid)
    }

    /// Publish what comes, for ever.
    pub async fn run(
        &self, mut receiver: mpsc::UnboundedReceiver<Vec<Transaction>>, rpc: Arc<RpcClient>, log: Arc<Log>,
    ) {
        while let Some(transactions) = receiver.recv().await {
            let said = match transactions.as_slice() {
                [one] => self.publish(&rpc, one).await,
                package => self.publish_package(&rpc, package).await,
            };
            let txids: Vec<String> = transactions.iter().map(|tx| tx.compute_txid().to_string()).collect();
            match said {
                Ok(()) => log.say(&format!("BROADCAST {}", txids.join(" "))),
                Err(error) => log.say(&format!("BROADCAST of {} failed: {error}", txids.join(" "))),
            }
        }
    }

    pub async fn publish(&self, rpc: &RpcClient, transaction: &Transaction) -> Result<(), String> {
        match call(rpc, "sendrawtransaction", &[json!(serialize_hex(transaction))]).await {
            Err(error) if !error.contains("already in") && !error.contains("already-known") => Err(error),
            _ => {
                self.note_accepted(std::slice::from_ref(transaction));
                Ok(())
            }
        }
    }

    fn note_accepted(&self, transactions: &[Transaction]) {
        self.ledger.published(transactions);
        self.accepted.lock().unwrap().extend(transactions.iter().map(Transaction::compute_txid));
    }

    /// A child that pays for its parents, which the mempool may know already.
    async fn publish_package(&self, rpc: &RpcClient, package: &[Transaction]) -> Result<(), String> {
        let raw: Vec<String> = package.iter().map(serialize_hex).collect();
        let answer = call(rpc, "submitpackage", &[json!(raw)]).await?;
        if answer["package_msg"] != "success" {
            return Err(answer.to_string());
        }
        self.note_accepted(package);
        Ok(())
    }
}

impl BroadcasterInterface for Broadcaster {
    fn broadcast_transactions(&self, transactions: &[&Transaction]) {
        let _ = self.queue.send(transactions.iter().map(|one| (*one).clone()).collect());
    }
}
