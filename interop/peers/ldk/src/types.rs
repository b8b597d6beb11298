//! The concrete types of this node: LDK leaves every part open.

use std::sync::{Arc, RwLock};

use lightning::chain::chainmonitor::ChainMonitor;
use lightning::chain::Filter;
use lightning::events::bump_transaction::sync::{BumpTransactionEventHandlerSync, WalletSync};
use lightning::ln::channelmanager::ChannelManager;
use lightning::ln::peer_handler::{IgnoringMessageHandler, PeerManager};
use lightning::onion_message::messenger::DefaultMessageRouter;
use lightning::routing::gossip::{NetworkGraph, P2PGossipSync};
use lightning::routing::router::DefaultRouter;
use lightning::routing::scoring::{ProbabilisticScorer, ProbabilisticScoringFeeParameters};
use lightning::routing::utxo::UtxoLookup;
use lightning::sign::{InMemorySigner, KeysManager};
use lightning::util::sweep::OutputSweeperSync;
use lightning_net_tokio::SocketDescriptor;
use lightning_persister::fs_store::FilesystemStore;

use crate::chain::{Broadcaster, Fees};
use crate::log::Log;
use crate::messages::Messages;
use crate::routes::Router;
use crate::signer::Signer;
use crate::store::Monitors;
use crate::wallet::Wallet;

pub type Graph = NetworkGraph<Arc<Log>>;
pub type Scorer = ProbabilisticScorer<Arc<Graph>, Arc<Log>>;
pub type LdkRouter = DefaultRouter<
    Arc<Graph>,
    Arc<Log>,
    Arc<KeysManager>,
    Arc<RwLock<Scorer>>,
    ProbabilisticScoringFeeParameters,
    Scorer,
>;
pub type Watcher = ChainMonitor<
    InMemorySigner,
    Arc<dyn Filter + Send + Sync>,
    Arc<Broadcaster>,
    Arc<Fees>,
    Arc<Log>,
    Arc<Monitors>,
    Arc<KeysManager>,
>;
pub type MessageRouter = DefaultMessageRouter<Arc<Graph>, Arc<Log>, Arc<KeysManager>>;
pub type Manager = ChannelManager<
    Arc<Watcher>,
    Arc<Broadcaster>,
    Arc<KeysManager>,
    Arc<KeysManager>,
    Arc<Signer>,
    Arc<Fees>,
    Arc<Router>,
    Arc<MessageRouter>,
    Arc<Log>,
>;
pub type Gossip = P2PGossipSync<Arc<Graph>, Arc<dyn UtxoLookup + Send + Sync>, Arc<Log>>;
pub type Peers = PeerManager<
    SocketDescriptor,
    Arc<Manager>,
    Arc<Gossip>,
    Arc<IgnoringMessageHandler>,
    Arc<Log>,
    Arc<Messages>,
    Arc<KeysManager>,
    Arc<Watcher>,
>;
pub type Sweeper = OutputSweeperSync<
    Arc<Broadcaster>,
    Arc<Wallet>,
    Arc<Fees>,
    Arc<dyn Filter + Send + Sync>,
    Arc<FilesystemStore>,
    Arc<Log>,
    Arc<KeysManager>,
>;
pub type Bumper =
    BumpTransactionEventHandlerSync<Arc<Broadcaster>, Arc<WalletSync<Arc<Wallet>, Arc<Log>>>, Arc<Signer>, Arc<Log>>;
