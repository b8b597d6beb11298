//! The work that LDK leaves to its host: events, forwards, blocks, timers, and saving. One turn after the other.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::Network;
use lightning::chain::BestBlock;
use lightning::chain::Listen;
use lightning::events::EventsProvider;
use lightning_block_sync::poll::{ChainPoller, ChainTip, ValidatedBlockHeader};
use lightning_block_sync::rpc::RpcClient;
use lightning_block_sync::{SpvClient, UnboundedCache};

use crate::events::handle;
use crate::node::Node;

const POLL: Duration = Duration::from_millis(100);
const BACKLOG: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_secs(1);
/// As LDK's background processor has them.
const FRESHNESS: Duration = Duration::from_secs(60);
const PING: Duration = Duration::from_secs(10);
const REBROADCAST: Duration = Duration::from_secs(30);

/// Everything that must see each block, in this order.
pub struct BlockListeners(pub Arc<Node>);

impl Listen for BlockListeners {
    fn filtered_block_connected(
        &self, header: &bitcoin::block::Header, txdata: &lightning::chain::transaction::TransactionData, height: u32,
    ) {
        let node = &self.0;
        node.watcher.filtered_block_connected(header, txdata, height);
        node.manager.filtered_block_connected(header, txdata, height);
        node.sweeper.filtered_block_connected(header, txdata, height);
        node.ledger.filtered_block_connected(header, txdata, height);
    }

    fn blocks_disconnected(&self, fork: BestBlock) {
        let node = &self.0;
        node.watcher.blocks_disconnected(fork);
        node.manager.blocks_disconnected(fork);
        node.sweeper.blocks_disconnected(fork);
        node.ledger.blocks_disconnected(fork);
    }
}

/// Follow the chain for ever.
pub async fn follow_chain(node: Arc<Node>, tip: ValidatedBlockHeader, mut cache: UnboundedCache) {
    let rpc: Arc<RpcClient> = Arc::clone(&node.rpc);
    let listeners = BlockListeners(Arc::clone(&node));
    let mut client = SpvClient::new(tip, ChainPoller::new(rpc, Network::Regtest), &mut cache, &listeners);
    loop {
        node.fees.refresh(&node.rpc).await;
        match client.poll_best_tip().await {
            Ok((ChainTip::Common, _)) => node.is_synced.store(true, Ordering::Release),
            Ok((_, connected)) => {
                node.is_synced.store(false, Ordering::Release);
                if connected {
                    let _ = node.sweeper.regenerate_and_broadcast_spend_if_necessary();
                    node.wake.notify_one();
                    continue;
                }
            }
            Err(error) => {
                node.is_synced.store(false, Ordering::Release);
                node.log.say(&format!("the chain service: {:?}", error.into_inner()));
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Do LDK's work for ever.
pub async fn take_turns(node: Arc<Node>) {
    let mut timers = Timers::new();
    loop {
        let waits = turn(&node);
        timers.run(&node);
        let manager = node.manager.get_event_or_persistence_needed_future();
        let watcher = node.watcher.get_update_future();
        tokio::select! {
            () = manager => {}
            () = watcher => {}
            () = node.wake.notified() => {}
            () = tokio::time::sleep(if waits { BACKLOG } else { IDLE }) => {}
        }
    }
}

/// Returns whether something waits to be saved.
fn turn(node: &Arc<Node>) -> bool {
    let handler = |event| handle(node, event);
    node.manager.process_pending_events(&handler);
    node.watcher.process_pending_events(&handler);
    if node.manager.needs_pending_htlc_processing() {
        node.manager.process_pending_htlc_forwards();
        node.manager.process_pending_events(&handler);
    }
    node.peers.process_events();
    node.save()
}

struct Timers {
    fresh: Instant,
    ping: Instant,
    rebroadcast: Instant,
}

impl Timers {
    fn new() -> Self {
        let now = Instant::now();
        Self { fresh: now, ping: now, rebroadcast: now }
    }

    fn run(&mut self, node: &Node) {
        let is_due = |last: &mut Instant, period: Duration| {
            let due = last.elapsed() >= period;
            if due {
                *last = Instant::now();
            }
            due
        };
        if is_due(&mut self.fresh, FRESHNESS) {
            node.manager.timer_tick_occurred();
        }
        if is_due(&mut self.ping, PING) {
            node.peers.timer_tick_occurred();
        }
        if is_due(&mut self.rebroadcast, REBROADCAST) {
            node.watcher.rebroadcast_pending_claims();
            let _ = node.sweeper.regenerate_and_broadcast_spend_if_necessary();
        }
    }
}
