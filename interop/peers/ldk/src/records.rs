//! What this node did for its user: payments made and received. One JSON line for each change; the last one counts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{json, Value};
use tokio::sync::oneshot;

/// A payment of ours. failure_hop: None when nobody knows.
#[derive(Clone, Default)]
pub struct Sent {
    pub status: String,
    pub preimage: String,
    pub amount_msat: u64,
    pub fee_msat: u64,
    pub parts: u64,
    pub failure_code: u16,
    pub failure: String,
    pub failure_hop: Option<u64>,
}

/// A payment to us. claims: amount by LDK's id of the set of HTLCs, by which an event that comes again is known.
#[derive(Clone, Default)]
pub struct Received {
    pub held_msat: Option<u64>,
    pub claims: BTreeMap<String, u64>,
    pub custom_records: BTreeMap<u64, String>,
}

#[derive(Default)]
struct State {
    order: Vec<String>,
    sent: HashMap<String, Sent>,
    received: HashMap<String, Received>,
    void: HashSet<String>,
    unwritten: Vec<u8>,
    waiting: HashMap<String, Vec<oneshot::Sender<bool>>>,
}

pub struct Records {
    state: Mutex<State>,
}

impl Records {
    /// Read all lines; one that was cut by a crash is the last, and left out.
    pub fn open(path: &Path) -> Self {
        let mut state = State::default();
        let raw = fs::read(path).unwrap_or_default();
        let whole = raw.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in raw[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let Ok(value) = serde_json::from_slice::<Value>(line) {
                state.load(&value);
            }
        }
        if whole < raw.len() {
            fs::write(path, &raw[..whole]).expect("the data folder can be written");
        }
        Self { state: Mutex::new(state) }
    }

    /// Take the lines that are not durable yet.
    pub fn take_unwritten(&self) -> Vec<u8> {
        std::mem::take(&mut self.state.lock().unwrap().unwritten)
    }

    pub fn has_unwritten(&self) -> bool {
        !self.state.lock().unwrap().unwritten.is_empty()
    }

    pub fn sent(&self, hash: &str) -> Option<Sent> {
        self.state.lock().unwrap().sent.get(hash).cloned()
    }

    pub fn all_sent(&self) -> Vec<(String, Sent)> {
        let state = self.state.lock().unwrap();
        state.order.iter().map(|hash| (hash.clone(), state.sent[hash].clone())).collect()
    }

    pub fn received(&self, hash: &str) -> Received {
        self.state.lock().unwrap().received.get(hash).cloned().unwrap_or_default()
    }

    /// Whether the user took an invoice back.
    pub fn is_void(&self, hash: &str) -> bool {
        self.state.lock().unwrap().void.contains(hash)
    }

    pub fn make_void(&self, hash: &str) {
        let mut state = self.state.lock().unwrap();
        state.void.insert(hash.to_string());
        state.append(&json!({"void": hash}));
    }

    /// Change a payment of ours; whoever waits for its end is told.
    pub fn change_sent(&self, hash: &str, change: impl FnOnce(&mut Sent)) {
        let mut state = self.state.lock().unwrap();
        if !state.sent.contains_key(hash) {
            state.order.push(hash.to_string());
        }
        let sent = state.sent.entry(hash.to_string()).or_default();
        change(sent);
        let (line, status) = (sent_line(hash, sent), sent.status.clone());
        state.append(&line);
        if status != "pending" {
            for waiting in state.waiting.remove(hash).unwrap_or_default() {
                let _ = waiting.send(status == "succeeded");
            }
        }
    }

    /// Be told whether a payment succeeded, when it ends.
    pub fn wait_sent(&self, hash: &str) -> oneshot::Receiver<bool> {
        let (sender, receiver) = oneshot::channel();
        self.state.lock().unwrap().waiting.entry(hash.to_string()).or_default().push(sender);
        receiver
    }

    pub fn change_received(&self, hash: &str, change: impl FnOnce(&mut Received)) {
        let mut state = self.state.lock().unwrap();
        let received = state.received.entry(hash.to_string()).or_default();
        change(received);
        let line = received_line(hash, received);
        state.append(&line);
    }
}

fn sent_line(hash: &str, sent: &Sent) -> Value {
    json!({
        "sent": hash, "status": sent.status, "preimage": sent.preimage, "amount_msat": sent.amount_msat,
        "fee_msat": sent.fee_msat, "parts": sent.parts, "failure_code": sent.failure_code, "failure": sent.failure,
        "failure_hop": sent.failure_hop,
    })
}

fn received_line(hash: &str, received: &Received) -> Value {
    json!({
        "received": hash, "held_msat": received.held_msat, "claims": received.claims,
        "custom_records": received.custom_records,
    })
}

/// A payment of ours as the driver is told of it.
pub fn sent_answer(hash: &str, sent: &Sent) -> Value {
    sent_line(hash, sent)
}

impl State {
    fn append(&mut self, line: &Value) {
        self.unwritten.extend_from_slice(line.to_string().as_bytes());
        self.unwritten.push(b'\n');
    }

    fn load(&mut self, line: &Value) {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_string();
        let number = |name: &str| line[name].as_u64().unwrap_or_default();
        if let Some(hash) = line["void"].as_str() {
            self.void.insert(hash.to_string());
        } else if let Some(hash) = line["sent"].as_str() {
            if !self.sent.contains_key(hash) {
                self.order.push(hash.to_string());
            }
            let sent = Sent {
                status: text("status"),
                preimage: text("preimage"),
                amount_msat: number("amount_msat"),
                fee_msat: number("fee_msat"),
                parts: number("parts"),
                failure_code: number("failure_code") as u16,
                failure: text("failure"),
                failure_hop: line["failure_hop"].as_u64(),
            };
            self.sent.insert(hash.to_string(), sent);
        } else if let Some(hash) = line["received"].as_str() {
            let pairs = |name: &str| line[name].as_object().cloned().unwrap_or_default().into_iter();
            let received = Received {
                held_msat: line["held_msat"].as_u64(),
                claims: pairs("claims").map(|(id, amount)| (id, amount.as_u64().unwrap_or_default())).collect(),
                custom_records: pairs("custom_records")
                    .filter_map(|(kind, value)| Some((kind.parse().ok()?, value.as_str()?.to_string())))
                    .collect(),
            };
            self.received.insert(hash.to_string(), received);
        }
    }
}
