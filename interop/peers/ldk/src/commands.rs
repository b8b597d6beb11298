//! The methods that the driver calls.

use std::sync::atomic::Ordering;
use std::sync::Arc;

use serde_json::{json, Value};

use crate::messages::CustomMessage;
use crate::net::connect;
use crate::node::Node;
use crate::text::{hex, refused, Outcome, Params};
use crate::{channels, payments};

/// The version of LDK that Cargo.toml pins.
const VERSION: &str = "0.2.7";

/// Answer one request.
pub async fn call(node: &Arc<Node>, method: &str, params: &Params) -> Outcome<Value> {
    match method {
        "info" => Ok(info(node)),
        "connect" => {
            connect(node, params.node_id()?, params.number("port")? as u16).await?;
            Ok(Value::Null)
        }
        "disconnect" => {
            node.peers.disconnect_by_node_id(params.node_id()?);
            Ok(Value::Null)
        }
        "peers" => Ok(node.peers.list_peers().iter().map(|one| one.counterparty_node_id.to_string()).collect()),
        "peer_features" => peer_features(node, params),
        "trust_peer" => {
            node.trusted.lock().unwrap().insert(params.node_id()?);
            Ok(Value::Null)
        }
        "send_custom_message" => send_custom_message(node, params),
        "custom_messages" => Ok(custom_messages(node)),
        "refusals" => Ok(json!(node.log.refusals())),
        "new_address" => Ok(channels::new_address(node)),
        "onchain_sat" => Ok(channels::onchain_sat(node).await),
        "send_onchain" => channels::send_onchain(node, params).await,
        "open_channel" => channels::open(node, params).await,
        "channels" => Ok(channels::list(node)),
        "htlcs" => channels::htlcs(node, params),
        "close_channel" => channels::close(node, params),
        "closed_channels" => Ok(channels::closed(node)),
        "pending_sweeps" => Ok(channels::pending_sweeps(node)),
        "set_forwarding" => channels::set_forwarding(node, params),
        "set_feerate" => {
            node.fees.tell(params.number("feerate_per_kw")? as u32);
            // LDK looks at its fees once a minute, at this tick.
            node.manager.timer_tick_occurred();
            node.wake.notify_one();
            Ok(Value::Null)
        }
        other => call_payment(node, other, params).await,
    }
}

async fn call_payment(node: &Arc<Node>, method: &str, params: &Params) -> Outcome<Value> {
    match method {
        "create_invoice" => payments::create_invoice(node, params),
        "pay" => payments::pay(node, params).await,
        "keysend" => payments::keysend(node, params).await,
        "pay_hash" => payments::pay_hash(node, params).await,
        "pay_all" => payments::pay_all(node, params).await,
        "payment" => payments::payment(node, params),
        "payments" => Ok(payments::payments(node)),
        "held" => payments::held(node, params),
        "settle" => payments::settle(node, params),
        "cancel" => payments::cancel(node, params).await,
        "received" => payments::received(node, params),
        _ => Err(refused(format!("there is no method {method}"))),
    }
}

fn info(node: &Node) -> Value {
    json!({
        "node_id": node.manager.get_our_node_id().to_string(),
        "version": VERSION,
        "block_height": node.ledger.best().height,
        "is_synced": node.is_synced.load(Ordering::Acquire),
    })
}

fn peer_features(node: &Node, params: &Params) -> Outcome<Value> {
    let peer = node.peers.peer_by_node_id(&params.node_id()?).ok_or_else(|| refused("the peer is not connected"))?;
    let mut bits = Vec::new();
    for (index, byte) in peer.init_features.le_flags().iter().enumerate() {
        bits.extend((0..8).filter(|bit| byte >> bit & 1 == 1).map(|bit| index * 8 + bit));
    }
    Ok(json!(bits))
}

fn send_custom_message(node: &Node, params: &Params) -> Outcome<Value> {
    let message =
        CustomMessage { message_type: params.number("message_type")? as u16, payload: params.bytes("payload")? };
    node.messages.send(params.node_id()?, message);
    node.peers.process_events();
    Ok(Value::Null)
}

fn custom_messages(node: &Node) -> Value {
    let received = node.messages.received.lock().unwrap();
    received
        .iter()
        .map(|(peer, one)| {
            json!({"node_id": peer.to_string(), "message_type": one.message_type, "payload": hex(&one.payload)})
        })
        .collect()
}
