//! LDK's log on standard error, and what nothing but the log says: the words of peers, and why a payment failed.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use lightning::util::logger::{Level, Logger, Record};

/// How a payment failed at some hop.
#[derive(Clone)]
pub struct OnionError {
    pub code: u16,
    pub node_id: String,
}

pub struct Log {
    level: Level,
    refusals: Mutex<Vec<String>>,
    onion_errors: Mutex<HashMap<[u8; 32], OnionError>>,
}

impl Log {
    pub fn new(level: Level) -> Self {
        Self { level, refusals: Mutex::new(Vec::new()), onion_errors: Mutex::new(HashMap::new()) }
    }

    /// Say something of our own.
    pub fn say(&self, text: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let _ = writeln!(std::io::stderr().lock(), "{}.{:06} {text}", now.as_secs(), now.subsec_micros());
    }

    /// The words of errors and warnings that peers sent, the oldest first.
    pub fn refusals(&self) -> Vec<String> {
        self.refusals.lock().unwrap().clone()
    }

    /// Forget and return what a payment's last failure was.
    pub fn take_onion_error(&self, payment_hash: &[u8; 32]) -> Option<OnionError> {
        self.onion_errors.lock().unwrap().remove(payment_hash)
    }

    /// LDK gives a failure's code to nobody but its log: `Onion Error[from NODE: NAME(0xCODE)]`.
    fn learn_onion_error(&self, record: &Record, text: &str) {
        let (Some(hash), Some(rest)) = (record.payment_hash, text.strip_prefix("Onion Error[from ")) else {
            return;
        };
        let Some((node_id, rest)) = rest.split_once(": ") else { return };
        let Some((_, rest)) = rest.rsplit_once("(0x") else { return };
        let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
        if let Ok(code) = u16::from_str_radix(&digits, 16) {
            let found = OnionError { code, node_id: node_id.to_string() };
            self.onion_errors.lock().unwrap().insert(hash.0, found);
        }
    }
}

impl Logger for Log {
    fn log(&self, record: Record) {
        let may_tell = match record.level {
            Level::Debug => record.module_path.ends_with("peer_handler"),
            level => level >= Level::Info,
        };
        if record.level < self.level && !may_tell {
            return;
        }
        let text = record.args.to_string();
        if record.module_path.ends_with("peer_handler") {
            if text.starts_with("Got Err message from") || text.starts_with("Got warning message from") {
                self.refusals.lock().unwrap().push(text.clone());
            }
        } else if record.level == Level::Info {
            self.learn_onion_error(&record, &text);
        }
        if record.level >= self.level {
            self.say(&format!("{} {}:{} {text}", record.level, record.module_path, record.line));
        }
    }
}
