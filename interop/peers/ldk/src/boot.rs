//! Starting on a data folder, in the order that LDK's documentation asks for: monitors, manager, chain, and then peers.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::{Amount, BlockHash, Network};
use lightning::chain::channelmonitor::ChannelMonitor;
use lightning::chain::{BestBlock, Filter, Listen};
use lightning::events::bump_transaction::sync::WalletSync;
use lightning::io::Cursor;
use lightning::ln::channelmanager::{ChainParameters, ChannelManagerReadArgs};
use lightning::ln::peer_handler::{IgnoringMessageHandler, MessageHandler};
use lightning::routing::gossip::NetworkGraph;
use lightning::routing::scoring::{
    ProbabilisticScorer, ProbabilisticScoringDecayParameters, ProbabilisticScoringFeeParameters,
};
use lightning::sign::{EntropySource, InMemorySigner, KeysManager, NodeSigner};
use lightning::util::config::{MaxDustHTLCExposure, UserConfig};
use lightning::util::logger::Level;
use lightning::util::persist::{
    read_channel_monitors, KVStoreSync, CHANNEL_MANAGER_PERSISTENCE_KEY, CHANNEL_MANAGER_PERSISTENCE_PRIMARY_NAMESPACE,
    CHANNEL_MANAGER_PERSISTENCE_SECONDARY_NAMESPACE, OUTPUT_SWEEPER_PERSISTENCE_KEY,
    OUTPUT_SWEEPER_PERSISTENCE_PRIMARY_NAMESPACE, OUTPUT_SWEEPER_PERSISTENCE_SECONDARY_NAMESPACE,
};
use lightning::util::ser::ReadableArgs;
use lightning_block_sync::init::{synchronize_listeners, validate_best_block_header};
use lightning_block_sync::rpc::RpcClient;
use lightning_block_sync::UnboundedCache;
use lightning_persister::fs_store::FilesystemStore;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{watch, Notify};

use crate::chain::{client, Broadcaster, Fees};
use crate::ledger::Ledger;
use crate::log::Log;
use crate::messages::Messages;
use crate::node::Node;
use crate::records::Records;
use crate::routes::Router;
use crate::signer::Signer;
use crate::store::{Monitors, Order, Saver};
use crate::types::{Bumper, Gossip, Graph, LdkRouter, Manager, MessageRouter, Peers, Sweeper, Watcher};
use crate::wallet::Wallet;
use crate::{net, payments, turns};

/// What the driver says first. recovers: the data are an old copy, and LDK's way out of that is taken: no channel is
/// known any more, its monitor only waits for what the peer publishes.
pub struct Options {
    folder: PathBuf,
    port: u16,
    rpc_port: u16,
    rpc_credentials: String,
    order: Order,
    log_level: Level,
    recovers: bool,
    config: UserConfig,
}

impl Options {
    pub fn read(line: &str) -> Option<Self> {
        let given: Value = serde_json::from_str(line).ok()?;
        let delay = Duration::from_millis(given["store_delay_ms"].as_u64()?);
        let is_direct = given["store"].as_str()? == "direct";
        Some(Self {
            folder: given["folder"].as_str()?.into(),
            port: given["port"].as_u64()? as u16,
            rpc_port: given["rpc_port"].as_u64()? as u16,
            rpc_credentials: given["rpc_credentials"].as_str()?.to_string(),
            order: if is_direct { Order::Direct } else { Order::ManagerFirst { delay } },
            log_level: if given["log_messages"].as_bool()? { Level::Trace } else { Level::Info },
            recovers: given["recovers"].as_bool()?,
            config: config(&given)?,
        })
    }
}

fn config(given: &Value) -> Option<UserConfig> {
    let mut config = UserConfig::default();
    let handshake = &mut config.channel_handshake_config;
    handshake.minimum_depth = 1;
    handshake.max_inbound_htlc_value_in_flight_percent_of_channel = 100;
    handshake.our_max_accepted_htlcs = 483;
    handshake.negotiate_anchors_zero_fee_htlc_tx = true;
    handshake.announce_for_forwarding = false;
    handshake.commit_upfront_shutdown_pubkey = false;
    config.channel_handshake_limits.max_channel_reserve_satoshis = given["reserve_max_sat"].as_u64()?;
    config.channel_handshake_limits.max_funding_satoshis = Amount::MAX_MONEY.to_sat();
    config.channel_handshake_limits.force_announced_channel_preference = false;
    let channel = &mut config.channel_config;
    channel.forwarding_fee_base_msat = given["fee_base_msat"].as_u64()? as u32;
    channel.forwarding_fee_proportional_millionths = given["fee_proportional_millionths"].as_u64()? as u32;
    channel.cltv_expiry_delta = given["cltv_expiry_delta"].as_u64()? as u16;
    channel.max_dust_htlc_exposure = MaxDustHTLCExposure::FixedLimitMsat(given["max_dust_exposure_msat"].as_u64()?);
    config.accept_forwards_to_priv_channels = true;
    config.manually_accept_inbound_channels = true;
    Some(config)
}

fn seed(folder: &Path) -> std::io::Result<[u8; 32]> {
    let path = folder.join("seed");
    if let Ok(raw) = fs::read(&path) {
        return raw.try_into().map_err(|_| std::io::Error::other("the seed has 32 bytes"));
    }
    let drawn: [u8; 32] = bitcoin::secp256k1::rand::random();
    fs::write(&path, drawn)?;
    fs::File::open(&path)?.sync_all()?;
    Ok(drawn)
}

/// What the manager and everything around it is made of.
struct Ground {
    options: Options,
    rpc: Arc<RpcClient>,
    log: Arc<Log>,
    store: Arc<FilesystemStore>,
    keys: Arc<KeysManager>,
    ledger: Arc<Ledger>,
    wallet: Arc<Wallet>,
    signer: Arc<Signer>,
    fees: Arc<Fees>,
    broadcaster: Arc<Broadcaster>,
    graph: Arc<Graph>,
    router: Arc<Router>,
    message_router: Arc<MessageRouter>,
    monitors: Arc<Monitors>,
    watcher: Arc<Watcher>,
    wake: Arc<Notify>,
}

/// Start everything; return when the node follows the chain and takes connections.
pub async fn boot(options: Options) -> Result<Arc<Node>, String> {
    fs::create_dir_all(&options.folder).map_err(text)?;
    let log = Arc::new(Log::new(options.log_level));
    let rpc = Arc::new(client(options.rpc_port, &options.rpc_credentials));
    let tip = validate_best_block_header(&*rpc).await.map_err(|error| text(error.into_inner()))?;
    let seed = seed(&options.folder).map_err(text)?;
    let ledger = Arc::new(Ledger::open(options.folder.join("ledger.json"), tip.to_best_block()));
    let fees = Arc::new(Fees::new());
    fees.refresh(&rpc).await;
    let (broadcaster, outgoing) = Broadcaster::new(Arc::clone(&ledger));
    let ground = lay(options, rpc, log, &seed, ledger, fees, Arc::new(broadcaster));
    let stored = read_channel_monitors(&*ground.store, &*ground.keys, &*ground.signer).map_err(text)?;
    let (manager_block, manager) = read_manager(&ground, &stored, tip.to_best_block())?;
    let (sweeper_block, sweeper) = read_sweeper(&ground, tip.to_best_block())?;
    let mut cache = UnboundedCache::new();
    let tip = synchronize(&ground, &mut cache, stored, (manager_block, &manager), (sweeper_block, &sweeper)).await?;
    let listener = TcpListener::bind(("127.0.0.1", ground.options.port)).await.map_err(text)?;
    let node = Arc::new(assemble(ground, Arc::new(manager), Arc::new(sweeper)));
    payments::forget_unsent(&node);
    let (publisher, rpc, log) = (Arc::clone(&node.broadcaster), Arc::clone(&node.rpc), Arc::clone(&node.log));
    tokio::spawn(async move { publisher.run(outgoing, rpc, log).await });
    tokio::spawn(turns::follow_chain(Arc::clone(&node), tip, cache));
    tokio::spawn(turns::take_turns(Arc::clone(&node)));
    tokio::spawn(net::listen(Arc::clone(&node), listener));
    Ok(node)
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

fn lay(
    options: Options, rpc: Arc<RpcClient>, log: Arc<Log>, seed: &[u8; 32], ledger: Arc<Ledger>, fees: Arc<Fees>,
    broadcaster: Arc<Broadcaster>,
) -> Ground {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let keys = Arc::new(KeysManager::new(seed, now.as_secs(), now.subsec_nanos(), true));
    let wallet = Arc::new(Wallet::new(seed, Arc::clone(&ledger)));
    let signer = Arc::new(Signer::new(Arc::clone(&keys), Arc::clone(&wallet)));
    let store = Arc::new(FilesystemStore::new(options.folder.join("store")));
    let graph: Arc<Graph> = Arc::new(NetworkGraph::new(Network::Regtest, Arc::clone(&log)));
    let scorer =
        ProbabilisticScorer::new(ProbabilisticScoringDecayParameters::default(), Arc::clone(&graph), Arc::clone(&log));
    let router = LdkRouter::new(
        Arc::clone(&graph),
        Arc::clone(&log),
        Arc::clone(&keys),
        Arc::new(RwLock::new(scorer)),
        ProbabilisticScoringFeeParameters::default(),
    );
    let wake = Arc::new(Notify::new());
    let monitors = Arc::new(Monitors::new(Arc::clone(&store), options.order, Arc::clone(&wake)));
    let watcher = Arc::new(Watcher::new(
        None,
        Arc::clone(&broadcaster),
        Arc::clone(&log),
        Arc::clone(&fees),
        Arc::clone(&monitors),
        Arc::clone(&keys),
        keys.get_peer_storage_key(),
    ));
    Ground {
        message_router: Arc::new(MessageRouter::new(Arc::clone(&graph), Arc::clone(&keys))),
        router: Arc::new(Router::new(router)),
        options,
        rpc,
        log,
        store,
        keys,
        ledger,
        wallet,
        signer,
        fees,
        broadcaster,
        graph,
        monitors,
        watcher,
        wake,
    }
}

type StoredMonitor = (BlockHash, ChannelMonitor<InMemorySigner>);

fn read_manager(
    ground: &Ground, stored: &[StoredMonitor], best_block: BestBlock,
) -> Result<(BlockHash, Manager), String> {
    let raw = KVStoreSync::read(
        &*ground.store,
        CHANNEL_MANAGER_PERSISTENCE_PRIMARY_NAMESPACE,
        CHANNEL_MANAGER_PERSISTENCE_SECONDARY_NAMESPACE,
        CHANNEL_MANAGER_PERSISTENCE_KEY,
    );
    let Some(raw) = raw.ok().filter(|_| !ground.options.recovers) else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let manager = Manager::new(
            Arc::clone(&ground.fees),
            Arc::clone(&ground.watcher),
            Arc::clone(&ground.broadcaster),
            Arc::clone(&ground.router),
            Arc::clone(&ground.message_router),
            Arc::clone(&ground.log),
            Arc::clone(&ground.keys),
            Arc::clone(&ground.keys),
            Arc::clone(&ground.signer),
            ground.options.config.clone(),
            ChainParameters { network: Network::Regtest, best_block },
            now.as_secs() as u32,
        );
        return Ok((best_block.block_hash, manager));
    };
    let arguments = ChannelManagerReadArgs::new(
        Arc::clone(&ground.keys),
        Arc::clone(&ground.keys),
        Arc::clone(&ground.signer),
        Arc::clone(&ground.fees),
        Arc::clone(&ground.watcher),
        Arc::clone(&ground.broadcaster),
        Arc::clone(&ground.router),
        Arc::clone(&ground.message_router),
        Arc::clone(&ground.log),
        ground.options.config.clone(),
        stored.iter().map(|(_, monitor)| monitor).collect(),
    );
    <(BlockHash, Manager)>::read(&mut Cursor::new(raw), arguments).map_err(text)
}

fn read_sweeper(ground: &Ground, best_block: BestBlock) -> Result<(BlockHash, Sweeper), String> {
    let raw = KVStoreSync::read(
        &*ground.store,
        OUTPUT_SWEEPER_PERSISTENCE_PRIMARY_NAMESPACE,
        OUTPUT_SWEEPER_PERSISTENCE_SECONDARY_NAMESPACE,
        OUTPUT_SWEEPER_PERSISTENCE_KEY,
    );
    let nobody: Option<Arc<dyn Filter + Send + Sync>> = None;
    let Ok(raw) = raw else {
        let sweeper = Sweeper::new(
            best_block,
            Arc::clone(&ground.broadcaster),
            Arc::clone(&ground.fees),
            nobody,
            Arc::clone(&ground.keys),
            Arc::clone(&ground.wallet),
            Arc::clone(&ground.store),
            Arc::clone(&ground.log),
        );
        return Ok((best_block.block_hash, sweeper));
    };
    let arguments = (
        Arc::clone(&ground.broadcaster),
        Arc::clone(&ground.fees),
        nobody,
        Arc::clone(&ground.keys),
        Arc::clone(&ground.wallet),
        Arc::clone(&ground.store),
        Arc::clone(&ground.log),
    );
    let (best, sweeper) = <(BestBlock, Sweeper)>::read(&mut Cursor::new(raw), arguments).map_err(text)?;
    Ok((best.block_hash, sweeper))
}

type MonitorListener = (ChannelMonitor<InMemorySigner>, Arc<Broadcaster>, Arc<Fees>, Arc<Log>);

/// Show everybody the blocks that it missed, and give the monitors to their watcher.
async fn synchronize(
    ground: &Ground, cache: &mut UnboundedCache, stored: Vec<StoredMonitor>, manager: (BlockHash, &Manager),
    sweeper: (BlockHash, &Sweeper),
) -> Result<lightning_block_sync::poll::ValidatedBlockHeader, String> {
    let monitors: Vec<(BlockHash, MonitorListener)> = stored
        .into_iter()
        .map(|(block, monitor)| {
            let around = (Arc::clone(&ground.broadcaster), Arc::clone(&ground.fees), Arc::clone(&ground.log));
            (block, (monitor, around.0, around.1, around.2))
        })
        .collect();
    let mut listeners: Vec<(BlockHash, &(dyn Listen + Send + Sync))> =
        vec![(manager.0, manager.1), (sweeper.0, sweeper.1), (ground.ledger.best().block_hash, &*ground.ledger)];
    for (block, listener) in &monitors {
        listeners.push((*block, listener));
    }
    let tip = synchronize_listeners(&*ground.rpc, Network::Regtest, cache, listeners)
        .await
        .map_err(|error| text(error.into_inner()))?;
    for (_, (monitor, ..)) in monitors {
        let loaded = ground.watcher.load_existing_monitor(monitor.channel_id(), monitor);
        loaded.map_err(|()| "two monitors of one channel".to_string())?;
    }
    Ok(tip)
}

fn assemble(ground: Ground, manager: Arc<Manager>, sweeper: Arc<Sweeper>) -> Node {
    let messages = Arc::new(Messages::default());
    let handlers = MessageHandler {
        chan_handler: Arc::clone(&manager),
        route_handler: Arc::new(Gossip::new(Arc::clone(&ground.graph), None, Arc::clone(&ground.log))),
        onion_message_handler: Arc::new(IgnoringMessageHandler {}),
        custom_message_handler: Arc::clone(&messages),
        send_only_message_handler: Arc::clone(&ground.watcher),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let drawn = ground.keys.get_secure_random_bytes();
    let peers = Peers::new(handlers, now.as_secs() as u32, &drawn, Arc::clone(&ground.log), Arc::clone(&ground.keys));
    let saved = Arc::new(watch::channel(0).0);
    let records_path = ground.options.folder.join("records.jsonl");
    let records = Arc::new(Records::open(&records_path));
    let (told, watcher, wake) = (Arc::clone(&saved), Arc::clone(&ground.watcher), Arc::clone(&ground.wake));
    let saver = Saver::start(
        Arc::clone(&ground.store),
        records_path,
        ground.options.order,
        Box::new(move |number, updates| {
            for (channel_id, update_id) in updates {
                // Whoever closed meanwhile has no monitor to wait for.
                let _ = watcher.channel_monitor_updated(channel_id, update_id);
            }
            told.send_replace(number);
            wake.notify_one();
        }),
    );
    let bump_wallet = Arc::new(WalletSync::new(Arc::clone(&ground.wallet), Arc::clone(&ground.log)));
    let bumper =
        Bumper::new(Arc::clone(&ground.broadcaster), bump_wallet, Arc::clone(&ground.signer), Arc::clone(&ground.log));
    Node {
        manager,
        watcher: ground.watcher,
        peers: Arc::new(peers),
        keys: ground.keys,
        signer: ground.signer,
        wallet: ground.wallet,
        ledger: ground.ledger,
        sweeper,
        bumper,
        fees: ground.fees,
        broadcaster: ground.broadcaster,
        router: ground.router,
        messages,
        records,
        log: ground.log,
        rpc: ground.rpc,
        config: ground.options.config,
        order: ground.options.order,
        monitors: ground.monitors,
        saver,
        saved,
        wake: ground.wake,
        is_synced: AtomicBool::new(true),
        trusted: Mutex::new(HashSet::new()),
        openings: Mutex::new(HashMap::new()),
        fundings: Mutex::new(HashMap::new()),
        begun: AtomicU64::new(0),
        dirty: AtomicBool::new(true),
    }
}
