//! What LDK tells us, and what we do about it. What an event changes is in the records before the manager forgets it.

use std::sync::Arc;

use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut};
use lightning::events::{Event, PathFailure, PaymentFailureReason, PaymentPurpose, ReplayEvent};
use lightning::ln::channelmanager::RecipientOnionFields;
use lightning::ln::types::ChannelId;
use lightning::routing::router::Path;
use lightning::types::features::ChannelTypeFeatures;
use lightning::types::payment::PaymentHash;

use crate::node::Node;
use crate::text::hex;

/// Handle one event.
pub fn handle(node: &Arc<Node>, event: Event) -> Result<(), ReplayEvent> {
    match event {
        Event::FundingGenerationReady {
            temporary_channel_id,
            counterparty_node_id,
            channel_value_satoshis,
            output_script,
            user_channel_id,
        } => {
            let output = TxOut { value: Amount::from_sat(channel_value_satoshis), script_pubkey: output_script };
            let node = Arc::clone(node);
            tokio::spawn(async move {
                fund(&node, temporary_channel_id, counterparty_node_id, user_channel_id, output).await;
            });
        }
        Event::OpenChannelRequest { temporary_channel_id, counterparty_node_id, channel_type, .. } => {
            accept(node, temporary_channel_id, counterparty_node_id, &channel_type);
        }
        Event::ChannelPending { channel_id, user_channel_id, funding_txo, .. } => {
            node.ledger.watch_funding(funding_txo);
            node.fundings.lock().unwrap().remove(&channel_id);
            tell_opening(node, user_channel_id, Ok(funding_txo));
        }
        Event::ChannelClosed { channel_id, user_channel_id, reason, .. } => {
            node.log.say(&format!("CLOSED {channel_id}: {reason}"));
            tell_opening(node, user_channel_id, Err(reason.to_string()));
        }
        Event::DiscardFunding { channel_id, .. } => {
            if let Some(transaction) = node.fundings.lock().unwrap().remove(&channel_id) {
                node.wallet.release(&transaction);
            }
        }
        Event::SpendableOutputs { outputs, channel_id } => {
            return node.sweeper.track_spendable_outputs(outputs, channel_id, true, None).map_err(|()| ReplayEvent());
        }
        Event::BumpTransaction(bump) => node.bumper.handle_event(&bump),
        other => handle_payment(node, other),
    }
    Ok(())
}

fn handle_payment(node: &Arc<Node>, event: Event) {
    match event {
        Event::PaymentClaimable { payment_hash, onion_fields, amount_msat, purpose, .. } => {
            claimable(node, payment_hash, onion_fields, amount_msat, &purpose);
        }
        Event::PaymentClaimed { payment_hash, amount_msat, payment_id, .. } => {
            let id = payment_id.map_or(String::new(), |id| hex(&id.0));
            node.records.change_received(&hex(&payment_hash.0), |received| {
                received.held_msat = None;
                received.claims.insert(id, amount_msat);
            });
        }
        Event::PaymentSent { payment_preimage, payment_hash, amount_msat, fee_paid_msat, .. } => {
            let parts = node.router.parts(&payment_hash);
            node.records.change_sent(&hex(&payment_hash.0), |sent| {
                sent.status = "succeeded".into();
                sent.preimage = hex(&payment_preimage.0);
                sent.amount_msat = amount_msat.unwrap_or(sent.amount_msat);
                sent.fee_msat = fee_paid_msat.unwrap_or(0);
                sent.parts = if parts > 0 { parts } else { sent.parts };
            });
            node.router.forget(&payment_hash);
            node.log.take_onion_error(&payment_hash.0);
        }
        Event::PaymentPathFailed { payment_hash, failure, path, .. } => {
            path_failed(node, payment_hash, &failure, &path)
        }
        Event::PaymentFailed { payment_hash: Some(payment_hash), reason, .. } => {
            node.records.change_sent(&hex(&payment_hash.0), |sent| {
                sent.status = "failed".into();
                sent.failure = reason.map_or(sent.failure.clone(), |reason| reason_name(reason).into());
                sent.parts = 0;
            });
            node.router.forget(&payment_hash);
        }
        _ => {}
    }
}

fn reason_name(reason: PaymentFailureReason) -> &'static str {
    match reason {
        PaymentFailureReason::RecipientRejected => "recipient_rejected",
        PaymentFailureReason::UserAbandoned => "user_abandoned",
        PaymentFailureReason::RetriesExhausted => "retries_exhausted",
        PaymentFailureReason::PaymentExpired => "payment_expired",
        PaymentFailureReason::RouteNotFound => "no_route",
        PaymentFailureReason::UnknownRequiredFeatures => "unknown_required_features",
        _ => "unexpected_error",
    }
}

fn path_failed(node: &Node, hash: PaymentHash, failure: &PathFailure, path: &Path) {
    node.router.part_failed(&hash);
    let error = node.log.take_onion_error(&hash.0);
    node.records.change_sent(&hex(&hash.0), |sent| {
        if let Some(error) = error {
            let place = path.hops.iter().position(|hop| hop.pubkey.to_string() == error.node_id);
            sent.failure_code = error.code;
            sent.failure_hop = place.map(|hop| hop as u64 + 1);
        } else if let PathFailure::InitialSend { err } = failure {
            sent.failure_code = 0;
            sent.failure_hop = Some(0);
            node.log.say(&format!("a part of {} was not sent: {err:?}", hex(&hash.0)));
        }
    });
}

fn claimable(
    node: &Node, hash: PaymentHash, onion: Option<RecipientOnionFields>, amount_msat: u64, purpose: &PaymentPurpose,
) {
    let name = hex(&hash.0);
    if node.records.is_void(&name) {
        node.manager.fail_htlc_backwards(&hash);
        return;
    }
    let records = onion.map_or(Vec::new(), |fields| fields.custom_tlvs().clone());
    node.records.change_received(&name, |received| {
        received.held_msat = Some(amount_msat);
        received.custom_records = records.iter().map(|(kind, value)| (*kind, hex(value))).collect();
    });
    if let Some(preimage) = purpose.preimage() {
        node.manager.claim_funds_with_known_custom_tlvs(preimage);
    }
}

/// Whoever is trusted may open a channel that counts at once.
fn accept(node: &Node, id: ChannelId, peer: PublicKey, channel_type: &ChannelTypeFeatures) {
    let user_channel_id = rand_id(node);
    let accepted = if node.trusted.lock().unwrap().contains(&peer) {
        node.manager.accept_inbound_channel_from_trusted_peer_0conf(&id, &peer, user_channel_id, None)
    } else if channel_type.requires_zero_conf() {
        let words = "zero-conf channels are taken from trusted peers only".to_string();
        node.manager.force_close_broadcasting_latest_txn(&id, &peer, words)
    } else {
        node.manager.accept_inbound_channel(&id, &peer, user_channel_id, None)
    };
    if let Err(error) = accepted {
        node.log.say(&format!("an opening was not accepted: {error:?}"));
    }
}

/// Draw a number for a channel.
pub fn rand_id(node: &Node) -> u128 {
    use lightning::sign::EntropySource;
    let drawn = node.keys.get_secure_random_bytes();
    u128::from_be_bytes(drawn[..16].try_into().expect("sixteen of thirty-two bytes"))
}

fn tell_opening(node: &Node, user_channel_id: u128, outcome: Result<OutPoint, String>) {
    if let Some(opening) = node.openings.lock().unwrap().remove(&user_channel_id) {
        let _ = opening.send(outcome);
    }
}

async fn fund(node: &Arc<Node>, id: ChannelId, peer: PublicKey, user_channel_id: u128, output: TxOut) {
    let script: ScriptBuf = output.script_pubkey.clone();
    let transaction = match node.wallet.pay(&node.rpc, output, node.fees.feerate_per_kw()).await {
        Ok(transaction) => transaction,
        Err(error) => {
            tell_opening(node, user_channel_id, Err(error.clone()));
            let _ = node.manager.force_close_broadcasting_latest_txn(&id, &peer, error);
            return;
        }
    };
    let vout = transaction.output.iter().position(|one| one.script_pubkey == script).expect("the output asked for");
    let outpoint = lightning::chain::transaction::OutPoint { txid: transaction.compute_txid(), index: vout as u16 };
    node.fundings.lock().unwrap().insert(ChannelId::v1_from_funding_outpoint(outpoint), transaction.clone());
    if let Err(error) = node.manager.funding_transaction_generated(id, peer, transaction.clone()) {
        node.wallet.release(&transaction);
        tell_opening(node, user_channel_id, Err(format!("{error:?}")));
    }
    node.wake.notify_one();
}
