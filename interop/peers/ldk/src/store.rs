//! When channel state becomes durable.
//!
//! `Order::Direct` is LDK as it ships: each monitor is written and synced before the call returns, the manager a little
//! later; `kill -9` in between makes LDK 0.2 close channels, because monitors are then ahead of the manager.
//! `Order::ManagerFirst` writes a snapshot of the manager and after it the monitors that it knows of, each write some
//! time late when that is asked for, and only then lets LDK go on (asynchronous monitor updates).

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lightning::chain::chainmonitor::Persist;
use lightning::chain::channelmonitor::{ChannelMonitor, ChannelMonitorUpdate};
use lightning::chain::ChannelMonitorUpdateStatus;
use lightning::ln::types::ChannelId;
use lightning::sign::InMemorySigner;
use lightning::util::persist::{
    KVStoreSync, MonitorName, CHANNEL_MANAGER_PERSISTENCE_KEY, CHANNEL_MANAGER_PERSISTENCE_PRIMARY_NAMESPACE,
    CHANNEL_MANAGER_PERSISTENCE_SECONDARY_NAMESPACE, CHANNEL_MONITOR_PERSISTENCE_PRIMARY_NAMESPACE,
    CHANNEL_MONITOR_PERSISTENCE_SECONDARY_NAMESPACE,
};
use lightning::util::ser::Writeable;
use lightning_persister::fs_store::FilesystemStore;
use tokio::sync::Notify;

/// Late writes under way at once.
const PIPELINE: usize = 64;

#[derive(Clone, Copy, PartialEq)]
pub enum Order {
    Direct,
    ManagerFirst { delay: Duration },
}

/// The newest state of one monitor, and the updates in it that LDK waits for.
#[derive(Default)]
pub struct Unwritten {
    state: Vec<u8>,
    updates: Vec<(ChannelId, u64)>,
}

pub type UnwrittenMonitors = HashMap<String, Unwritten>;

/// Takes monitors from LDK.
pub struct Monitors {
    store: Arc<FilesystemStore>,
    order: Order,
    unwritten: Mutex<UnwrittenMonitors>,
    wake: Arc<Notify>,
}

impl Monitors {
    pub fn new(store: Arc<FilesystemStore>, order: Order, wake: Arc<Notify>) -> Self {
        Self { store, order, unwritten: Mutex::new(HashMap::new()), wake }
    }

    /// Take what is to be written. Whoever takes it must snapshot the manager afterwards.
    pub fn take(&self) -> UnwrittenMonitors {
        std::mem::take(&mut *self.unwritten.lock().unwrap())
    }

    pub fn is_empty(&self) -> bool {
        self.unwritten.lock().unwrap().is_empty()
    }

    fn put(
        &self, name: MonitorName, monitor: &ChannelMonitor<InMemorySigner>, update_id: Option<u64>,
    ) -> ChannelMonitorUpdateStatus {
        let mut unwritten = self.unwritten.lock().unwrap();
        let entry = unwritten.entry(name.to_string()).or_default();
        entry.state = monitor.encode();
        entry.updates.extend(update_id.map(|id| (monitor.channel_id(), id)));
        self.wake.notify_one();
        ChannelMonitorUpdateStatus::InProgress
    }
}

impl Persist<InMemorySigner> for Monitors {
    fn persist_new_channel(
        &self, name: MonitorName, monitor: &ChannelMonitor<InMemorySigner>,
    ) -> ChannelMonitorUpdateStatus {
        match self.order {
            Order::Direct => Persist::persist_new_channel(&*self.store, name, monitor),
            Order::ManagerFirst { .. } => self.put(name, monitor, Some(monitor.get_latest_update_id())),
        }
    }

    fn update_persisted_channel(
        &self, name: MonitorName, update: Option<&ChannelMonitorUpdate>, monitor: &ChannelMonitor<InMemorySigner>,
    ) -> ChannelMonitorUpdateStatus {
        match self.order {
            Order::Direct => Persist::update_persisted_channel(&*self.store, name, update, monitor),
            Order::ManagerFirst { .. } => self.put(name, monitor, update.map(|one| one.update_id)),
        }
    }

    fn archive_persisted_channel(&self, name: MonitorName) {
        self.unwritten.lock().unwrap().remove(&name.to_string());
        <FilesystemStore as Persist<InMemorySigner>>::archive_persisted_channel(&self.store, name);
    }
}

/// One snapshot: everything of it is durable together, in the order of its fields.
pub struct Snapshot {
    pub number: u64,
    pub records: Vec<u8>,
    pub manager: Vec<u8>,
    pub monitors: UnwrittenMonitors,
}

/// Writes snapshots, in their order.
pub struct Saver {
    store: Arc<FilesystemStore>,
    records: PathBuf,
    delay: Duration,
    queue: Sender<(Instant, Snapshot)>,
    under_way: Arc<AtomicUsize>,
    last: Mutex<Option<Instant>>,
}

/// What is told when a snapshot is durable: its number, and the monitor updates in it.
pub type Saved = Box<dyn Fn(u64, Vec<(ChannelId, u64)>) + Send>;

impl Saver {
    pub fn start(store: Arc<FilesystemStore>, records: PathBuf, order: Order, saved: Saved) -> Arc<Self> {
        let (queue, snapshots) = channel();
        let delay = match order {
            Order::Direct => Duration::ZERO,
            Order::ManagerFirst { delay } => delay,
        };
        let under_way = Arc::new(AtomicUsize::new(0));
        let saver = Arc::new(Self { store, records, delay, queue, under_way, last: Mutex::new(None) });
        let worker = Arc::clone(&saver);
        thread::spawn(move || worker.work(snapshots, saved));
        saver
    }

    /// Whether a snapshot may be begun now.
    pub fn is_ready(&self) -> bool {
        let under_way = self.under_way.load(Ordering::Acquire);
        if self.delay.is_zero() || under_way == 0 {
            return under_way == 0;
        }
        let recent = self.last.lock().unwrap().is_some_and(|last| last.elapsed() < self.delay / 20);
        under_way < PIPELINE && !recent
    }

    /// Write a snapshot when its time has come.
    pub fn save_later(&self, snapshot: Snapshot) {
        let now = Instant::now();
        *self.last.lock().unwrap() = Some(now);
        self.under_way.fetch_add(1, Ordering::AcqRel);
        self.queue.send((now + self.delay, snapshot)).expect("the writer lives as long as the process");
    }

    fn work(&self, snapshots: Receiver<(Instant, Snapshot)>, saved: Saved) {
        for (due, snapshot) in snapshots {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let number = snapshot.number;
            let updates = self.save(snapshot);
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            saved(number, updates);
        }
    }

    /// Make a snapshot durable; return the monitor updates in it. A store that fails ends the process.
    pub fn save(&self, snapshot: Snapshot) -> Vec<(ChannelId, u64)> {
        if !snapshot.records.is_empty() {
            let mut file = OpenOptions::new().append(true).create(true).open(&self.records).expect("records open");
            file.write_all(&snapshot.records).expect("records are written");
            file.sync_data().expect("records are synced");
        }
        let put = |primary: &str, secondary: &str, key: &str, value: Vec<u8>| {
            KVStoreSync::write(&*self.store, primary, secondary, key, value).expect("the store takes a write");
        };
        let (primary, secondary) =
            (CHANNEL_MANAGER_PERSISTENCE_PRIMARY_NAMESPACE, CHANNEL_MANAGER_PERSISTENCE_SECONDARY_NAMESPACE);
        put(primary, secondary, CHANNEL_MANAGER_PERSISTENCE_KEY, snapshot.manager);
        let mut updates = Vec::new();
        let (primary, secondary) =
            (CHANNEL_MONITOR_PERSISTENCE_PRIMARY_NAMESPACE, CHANNEL_MONITOR_PERSISTENCE_SECONDARY_NAMESPACE);
        for (name, monitor) in snapshot.monitors {
            put(primary, secondary, &name, monitor.state);
            updates.extend(monitor.updates);
        }
        updates
    }
}
