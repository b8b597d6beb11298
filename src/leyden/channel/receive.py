"""Updates of the peer: checked when they arrive, volatile until its signature covers them."""

from leyden.base.transition import Decision
from leyden.channel import limits
from leyden.channel.effects import PreimageLearnt
from leyden.channel.env import ChannelEnv
from leyden.channel.errors import InvalidFeeUpdate, InvalidHtlc, InvalidRemoval, NotReestablished, UnexpectedMessage
from leyden.channel.htlc import OutboundHtlc
from leyden.channel.session import AddReceived, FeerateReceived, RemovalReceived, is_removing, next_local
from leyden.channel.states import ChannelDecision, LiveState
from leyden.crypto.hashes import sha256
from leyden.journal.records import AddedHtlc, RemovedHtlc
from leyden.sphinx.failures import BADONION
from leyden.wire.messages import (
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFailMalformedHtlc,
    UpdateFee,
    UpdateFulfillHtlc,
)


def require_reestablished(state: LiveState) -> None:
    """No update may come before `channel_reestablish` (BOLT 2, "Message Retransmission")."""
    if not state.session.reestablished:
        raise NotReestablished("an update before channel_reestablish")


def on_update_add_htlc(state: LiveState, msg: UpdateAddHtlc, _env: ChannelEnv) -> ChannelDecision:
    """Take in an HTLC of the peer, until its signature commits to it.

    Raises: InvalidHtlc, UnexpectedMessage.
    Spec:   BOLT 2, "Adding an HTLC: `update_add_htlc`".
    """
    require_reestablished(state)
    core, session = state.core, state.session
    if core.remote_shutdown_script:
        raise UnexpectedMessage("update_add_htlc after shutdown")
    expected = core.next_inbound_id + len(session.received_adds)
    if msg.id != expected:
        raise InvalidHtlc(f"id is {msg.id}, not {expected}")
    if msg.cltv_expiry >= limits.CLTV_EXPIRY_LIMIT:
        raise InvalidHtlc("cltv_expiry is not a height")
    view = session.next_local or next_local(core, session)
    broken = limits.check_received(core, view, msg.amount_msat)
    if broken:
        raise InvalidHtlc(broken)
    add = AddedHtlc(msg.id, msg.amount_msat, msg.payment_hash, msg.cltv_expiry, msg.onion_routing_packet, None, 0)
    return Decision((), (AddReceived(add),))


def _removable(state: LiveState, htlc_id: int) -> OutboundHtlc:
    require_reestablished(state)
    htlc = state.core.outbound.get(htlc_id)
    if htlc is None:
        raise InvalidRemoval(f"there is no HTLC {htlc_id}")
    # In our commitment means: in the peer's too, irrevocably; it enters ours last.
    if 2 * htlc_id + 1 not in state.core.local.htlcs:
        raise InvalidRemoval(f"HTLC {htlc_id} is not irrevocably committed")
    if is_removing(state.session, htlc):
        raise InvalidRemoval(f"HTLC {htlc_id} is already removed")
    return htlc


def on_update_fulfill_htlc(state: LiveState, msg: UpdateFulfillHtlc, _env: ChannelEnv) -> ChannelDecision:
    """Take in a preimage. It may settle what the HTLC came from at once; the channel still waits for the signature.

    Raises: InvalidRemoval.
    Spec:   BOLT 2, "Removing an HTLC: `update_fulfill_htlc`, `update_fail_htlc`, and `update_fail_malformed_htlc`".
    """
    htlc = _removable(state, msg.id)
    if sha256(msg.payment_preimage) != htlc.add.payment_hash:
        raise InvalidRemoval(f"payment_preimage of HTLC {msg.id} does not match its payment_hash")
    removal = RemovedHtlc(msg.id, msg.payment_preimage, b"", 0, msg.attribution_data or b"")
    return Decision((), (RemovalReceived(removal),), (PreimageLearnt(msg.id, removal),))


def on_update_fail_htlc(state: LiveState, msg: UpdateFailHtlc, _env: ChannelEnv) -> ChannelDecision:
    """Take in a failure; it counts once it is irrevocable.

    Raises: InvalidRemoval.
    Spec:   BOLT 2, "Removing an HTLC: `update_fulfill_htlc`, `update_fail_htlc`, and `update_fail_malformed_htlc`".
    """
    _removable(state, msg.id)
    removal = RemovedHtlc(msg.id, b"", msg.reason, 0, msg.attribution_data or b"")
    return Decision((), (RemovalReceived(removal),))


def on_update_fail_malformed_htlc(state: LiveState, msg: UpdateFailMalformedHtlc, _env: ChannelEnv) -> ChannelDecision:
    """Take in a failure of a peer that could not read the onion.

    Raises: InvalidRemoval when BADONION is not set.
    Spec:   BOLT 2, "Removing an HTLC: `update_fulfill_htlc`, `update_fail_htlc`, and `update_fail_malformed_htlc`".
    """
    if not msg.failure_code & BADONION:
        raise InvalidRemoval("failure_code without BADONION in update_fail_malformed_htlc")
    _removable(state, msg.id)
    removal = RemovedHtlc(msg.id, b"", msg.sha256_of_onion, msg.failure_code, b"")
    return Decision((), (RemovalReceived(removal),))


def on_update_fee(state: LiveState, msg: UpdateFee, env: ChannelEnv) -> ChannelDecision:
    """Take in the opener's new feerate; whether it can afford it is checked when it is committed.

    Raises: InvalidFeeUpdate.
    Spec:   BOLT 2, "Updating Fees: `update_fee`".
    """
    require_reestablished(state)
    core = state.core
    if core.opened.is_opener:
        raise InvalidFeeUpdate("only the opener may send update_fee")
    if not env.feerate_min_per_kw <= msg.feerate_per_kw <= env.feerate_max_per_kw:
        raise InvalidFeeUpdate(
            f"feerate_per_kw {msg.feerate_per_kw} is outside {env.feerate_min_per_kw}..{env.feerate_max_per_kw}"
        )
    if limits.feerate_exceeds_dust((core.local, core.remote), msg.feerate_per_kw, env):
        raise InvalidFeeUpdate("feerate_per_kw would trim more HTLCs than we risk")
    return Decision((), (FeerateReceived(msg.feerate_per_kw),))
