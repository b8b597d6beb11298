//! Channels: open, list, close, and what is left of them on the chain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::{Address, OutPoint, ScriptBuf};
use lightning::chain::channelmonitor::Balance;
use lightning::ln::channel_state::ChannelDetails;
use lightning::ln::script::ShutdownScript;
use lightning::util::config::ChannelConfig;
use lightning::util::sweep::OutputSpendStatus;
use serde_json::{json, Value};
use std::str::FromStr;
use tokio::sync::oneshot;

use crate::events::rand_id;
use crate::node::Node;
use crate::text::{hex, refused, Outcome, Params};

const OPEN: Duration = Duration::from_secs(60);
/// Two anchors of 330 satoshis.
const ANCHORS_MSAT: u64 = 660_000;
const LOOK: Duration = Duration::from_millis(10);
const FUNDING_MAX_SAT: u64 = (1 << 24) - 1;

fn script_of(address: &str) -> Outcome<ScriptBuf> {
    Ok(Address::from_str(address).map_err(refused)?.assume_checked().script_pubkey())
}

fn shutdown_script(params: &Params, name: &str) -> Outcome<Option<ShutdownScript>> {
    match params.text(name) {
        Err(_) => Ok(None),
        Ok(address) => {
            let script = ShutdownScript::try_from(script_of(address)?);
            script.map(Some).map_err(|error| refused(format!("{error:?}")))
        }
    }
}

/// Open a channel; return its funding outpoint when the funding transaction is in the mempool.
pub async fn open(node: &Arc<Node>, params: &Params) -> Outcome<Value> {
    let peer = params.node_id()?;
    let close_to = shutdown_script(params, "close_to")?;
    let amount_sat = params.number("amount_sat")?;
    let push_msat = params.number("push_msat")?;
    let details = node.peers.peer_by_node_id(&peer).ok_or_else(|| refused("the peer is not connected"))?;
    if amount_sat > FUNDING_MAX_SAT && !details.init_features.supports_wumbo() {
        return Err(refused("the peer does not take large channels"));
    }
    let mut config = node.config.clone();
    config.channel_handshake_config.negotiate_anchors_zero_fee_htlc_tx = params.text("channel_type")? == "anchors";
    config.channel_handshake_config.announce_for_forwarding = params.flag("announce");
    config.channel_handshake_config.negotiate_scid_privacy = params.flag("scid_alias");
    config.channel_handshake_config.commit_upfront_shutdown_pubkey = close_to.is_some();
    let user_channel_id = rand_id(node);
    let (sender, opened) = oneshot::channel();
    node.openings.lock().unwrap().insert(user_channel_id, sender);
    let made = node.signer.with_shutdown_script(close_to, || {
        node.manager.create_channel(peer, amount_sat, push_msat, user_channel_id, None, Some(config))
    });
    made.map_err(|error| refused(format!("{error:?}")))?;
    node.wake.notify_one();
    let begun = Instant::now();
    let outpoint = match tokio::time::timeout(OPEN, opened).await {
        Ok(Ok(Ok(outpoint))) => outpoint,
        Ok(Ok(Err(text))) => return Err(refused(text)),
        _ => return Err(refused("the peer did not answer the opening")),
    };
    while !node.broadcaster.has_accepted(&outpoint.txid) {
        if begun.elapsed() > OPEN {
            return Err(refused("the funding transaction was not accepted"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(json!(outpoint.to_string()))
}

fn find(node: &Node, outpoint: OutPoint) -> Outcome<ChannelDetails> {
    let is_it = |one: &ChannelDetails| one.funding_txo.is_some_and(|txo| txo.into_bitcoin_outpoint() == outpoint);
    let found = node.manager.list_channels().into_iter().find(is_it);
    found.ok_or_else(|| refused("there is no such channel"))
}

/// LDK's ids of the channels with these outpoints.
pub fn ids_of(node: &Node, outpoints: &[String]) -> Vec<lightning::ln::types::ChannelId> {
    let parsed = outpoints.iter().filter_map(|text| OutPoint::from_str(text).ok());
    parsed.filter_map(|outpoint| find(node, outpoint).ok()).map(|one| one.channel_id).collect()
}

pub fn list(node: &Node) -> Value {
    node.manager.list_channels().iter().filter(|one| one.funding_txo.is_some()).map(describe).collect()
}

/// Balances: LDK tells each side's balance above its reserve, and takes the anchors off the opener's. A side that is
/// not above its reserve has what the other leaves.
fn describe(one: &ChannelDetails) -> Value {
    let has_anchors = one.channel_type.as_ref().is_some_and(|features| features.supports_anchors_zero_fee_htlc_tx());
    let (our_anchors, their_anchors) = match (has_anchors, one.is_outbound) {
        (false, _) => (0, 0),
        (true, true) => (ANCHORS_MSAT, 0),
        (true, false) => (0, ANCHORS_MSAT),
    };
    let capacity_msat = one.channel_value_satoshis * 1000;
    let reserve_sat = one.unspendable_punishment_reserve.unwrap_or(0);
    let pending_msat: u64 = one.pending_inbound_htlcs.iter().map(|htlc| htlc.amount_msat).sum::<u64>()
        + one.pending_outbound_htlcs.iter().map(|htlc| htlc.amount_msat).sum::<u64>();
    let whole = |capacity: u64, reserve_sat: u64, anchors_msat: u64| {
        (capacity > 0).then_some(capacity + reserve_sat * 1000 + anchors_msat)
    };
    let local = whole(one.outbound_capacity_msat, reserve_sat, our_anchors);
    let their_reserve_sat = one.counterparty.unspendable_punishment_reserve;
    let remote = whole(one.inbound_capacity_msat, their_reserve_sat, their_anchors);
    let rest = |other: u64| capacity_msat.saturating_sub(pending_msat).saturating_sub(other);
    let (local_msat, remote_msat) = match (local, remote) {
        (Some(local), Some(remote)) => (local, remote),
        (Some(local), None) => (local, rest(local)),
        (None, Some(remote)) => (rest(remote), remote),
        (None, None) => (0, 0),
    };
    json!({
        "funding_outpoint": one.funding_txo.map(|txo| txo.into_bitcoin_outpoint().to_string()),
        "counterparty_node_id": one.counterparty.node_id.to_string(),
        "capacity_sat": one.channel_value_satoshis,
        "local_msat": local_msat,
        "remote_msat": remote_msat,
        "is_usable": one.is_usable,
        "is_initiator": one.is_outbound,
        "channel_type": if has_anchors { "anchors" } else { "static_remotekey" },
        "feerate_per_kw": one.feerate_sat_per_1000_weight.unwrap_or(0),
        "htlcs_pending": one.pending_inbound_htlcs.len() + one.pending_outbound_htlcs.len(),
        "reserve_sat": reserve_sat,
        "short_channel_id": one.short_channel_id.unwrap_or(0),
        "has_forwarding_info": one.counterparty.forwarding_info.is_some(),
    })
}

pub fn htlcs(node: &Node, params: &Params) -> Outcome<Value> {
    let channel = find(node, params.outpoint("funding_outpoint")?)?;
    let inbound = channel.pending_inbound_htlcs.iter().map(|htlc| {
        json!({"is_inbound": true, "amount_msat": htlc.amount_msat, "cltv_expiry": htlc.cltv_expiry,
            "payment_hash": hex(&htlc.payment_hash.0)})
    });
    let outbound = channel.pending_outbound_htlcs.iter().map(|htlc| {
        json!({"is_inbound": false, "amount_msat": htlc.amount_msat, "cltv_expiry": htlc.cltv_expiry,
            "payment_hash": hex(&htlc.payment_hash.0)})
    });
    Ok(inbound.chain(outbound).collect())
}

pub fn close(node: &Node, params: &Params) -> Outcome<Value> {
    let channel = find(node, params.outpoint("funding_outpoint")?)?;
    let (id, peer) = (channel.channel_id, channel.counterparty.node_id);
    let done = if params.flag("force") {
        node.manager.force_close_broadcasting_latest_txn(&id, &peer, "closed by the user".to_string())
    } else {
        let script = shutdown_script(params, "address")?;
        node.manager.close_channel_with_feerate_and_script(&id, &peer, None, script)
    };
    done.map_err(|error| refused(format!("{error:?}")))?;
    node.wake.notify_one();
    Ok(Value::Null)
}

pub fn closed(node: &Node) -> Value {
    let pairs = node.ledger.closed().into_iter().map(|(at, txid)| (at.to_string(), json!(txid.to_string())));
    Value::Object(pairs.collect())
}

/// Outputs of closed channels that are not swept yet.
pub fn pending_sweeps(node: &Node) -> Value {
    let open = node.manager.list_channels();
    let balances = node.watcher.get_claimable_balances(&open.iter().collect::<Vec<_>>());
    // Before a commitment or a close confirms, LDK shows the channel as one balance; of nothing, when nothing is ours.
    let waits = |balance: &&Balance| match balance {
        Balance::ClaimableOnChannelClose { .. } => balance.claimable_amount_satoshis() > 0,
        _ => true,
    };
    let sweeps = node.sweeper.tracked_spendable_outputs();
    let unswept =
        |status: &OutputSpendStatus| !matches!(status, OutputSpendStatus::PendingThresholdConfirmations { .. });
    json!(balances.iter().filter(waits).count() + sweeps.iter().filter(|one| unswept(&one.status)).count())
}

pub fn set_forwarding(node: &Node, params: &Params) -> Outcome<Value> {
    let channel = find(node, params.outpoint("funding_outpoint")?)?;
    let config = ChannelConfig {
        forwarding_fee_base_msat: params.number("fee_base_msat")? as u32,
        forwarding_fee_proportional_millionths: params.number("fee_proportional_millionths")? as u32,
        cltv_expiry_delta: params.number("cltv_expiry_delta")? as u16,
        ..channel.config.unwrap_or(node.config.channel_config)
    };
    let peer = channel.counterparty.node_id;
    let done = node.manager.update_channel_config(&peer, &[channel.channel_id], &config);
    done.map_err(|error| refused(format!("{error:?}")))?;
    node.wake.notify_one();
    Ok(Value::Null)
}

/// Pay an address from the wallet.
pub async fn send_onchain(node: &Node, params: &Params) -> Outcome<Value> {
    let value = bitcoin::Amount::from_sat(params.number("amount_sat")?);
    let output = bitcoin::TxOut { value, script_pubkey: script_of(params.text("address")?)? };
    let transaction = node.wallet.pay(&node.rpc, output, node.fees.feerate_per_kw()).await.map_err(refused)?;
    if let Err(error) = node.broadcaster.publish(&node.rpc, &transaction).await {
        node.wallet.release(&transaction);
        return Err(refused(error));
    }
    Ok(json!(transaction.compute_txid().to_string()))
}

/// A fresh address of the wallet.
pub fn new_address(node: &Node) -> Value {
    json!(node.wallet.new_address().to_string())
}

/// Satoshis that the wallet can spend.
pub async fn onchain_sat(node: &Node) -> Value {
    let coins = node.wallet.available(&node.rpc).await;
    json!(coins.iter().map(|coin| coin.value).sum::<u64>())
}
