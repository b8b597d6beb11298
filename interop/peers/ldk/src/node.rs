//! The parts of a running node, shared by everything that acts on it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bitcoin::secp256k1::PublicKey;
use bitcoin::{OutPoint, Transaction};
use lightning::ln::types::ChannelId;
use lightning::sign::KeysManager;
use lightning::util::config::UserConfig;
use lightning::util::ser::Writeable;
use lightning_block_sync::rpc::RpcClient;
use tokio::sync::{oneshot, watch, Notify};

use crate::chain::{Broadcaster, Fees};
use crate::ledger::Ledger;
use crate::log::Log;
use crate::messages::Messages;
use crate::records::Records;
use crate::routes::Router;
use crate::signer::Signer;
use crate::store::{Monitors, Order, Saver, Snapshot};
use crate::types::{Bumper, Manager, Peers, Sweeper, Watcher};
use crate::wallet::Wallet;

/// An opening that somebody waits for.
pub type Opening = oneshot::Sender<Result<OutPoint, String>>;

pub struct Node {
    pub manager: Arc<Manager>,
    pub watcher: Arc<Watcher>,
    pub peers: Arc<Peers>,
    pub keys: Arc<KeysManager>,
    pub signer: Arc<Signer>,
    pub wallet: Arc<Wallet>,
    pub ledger: Arc<Ledger>,
    pub sweeper: Arc<Sweeper>,
    pub bumper: Bumper,
    pub fees: Arc<Fees>,
    pub broadcaster: Arc<Broadcaster>,
    pub router: Arc<Router>,
    pub messages: Arc<Messages>,
    pub records: Arc<Records>,
    pub log: Arc<Log>,
    pub rpc: Arc<RpcClient>,
    pub config: UserConfig,
    pub order: Order,
    pub monitors: Arc<Monitors>,
    pub saver: Arc<Saver>,
    /// Number of the last durable snapshot.
    pub saved: Arc<watch::Sender<u64>>,
    pub wake: Arc<Notify>,
    pub is_synced: AtomicBool,
    pub trusted: Mutex<HashSet<PublicKey>>,
    pub openings: Mutex<HashMap<u128, Opening>>,
    pub fundings: Mutex<HashMap<ChannelId, Transaction>>,
    /// Number of the last snapshot that was begun.
    pub begun: AtomicU64,
    pub dirty: AtomicBool,
}

impl Node {
    /// Wait until everything done so far is durable.
    pub async fn durable(&self) {
        let wanted = self.begun.load(Ordering::Acquire) + 1;
        self.dirty.store(true, Ordering::Release);
        self.wake.notify_one();
        let mut saved = self.saved.subscribe();
        let _ = saved.wait_for(|number| *number >= wanted).await;
    }

    /// Write what has changed, or begin to. Returns whether something has to wait for its turn.
    pub fn save(&self) -> bool {
        if self.manager.get_and_clear_needs_persistence() {
            self.dirty.store(true, Ordering::Release);
        }
        let is_dirty = self.dirty.load(Ordering::Acquire) || !self.monitors.is_empty() || self.records.has_unwritten();
        if !is_dirty {
            return false;
        }
        if !self.saver.is_ready() {
            return true;
        }
        self.dirty.store(false, Ordering::Release);
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        // The monitors are taken before the manager is written out: then it knows each of their updates.
        let monitors = self.monitors.take();
        let manager = self.manager.encode();
        let snapshot = Snapshot { number, records: self.records.take_unwritten(), manager, monitors };
        match self.order {
            Order::Direct => {
                self.saver.save(snapshot);
                self.saved.send_replace(number);
            }
            Order::ManagerFirst { .. } => self.saver.save_later(snapshot),
        }
        false
    }
}
