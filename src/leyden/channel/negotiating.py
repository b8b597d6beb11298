"""Negotiating: both `shutdown` are exchanged and no HTLC is left; the fee of the closing transaction is agreed.

Means: the balances are final. The opener pays and speaks first.
Guaranteed: any closing transaction that we sign pays us our balance (less the fee, when we are the opener).
Leaves by: a fee both have signed (MutualClose), force-close, or a spend seen on chain. A reconnection starts it afresh.
"""

from leyden.base.transition import Decision
from leyden.channel.build import closing_parameters
from leyden.channel.effects import PublishClose, SendMessage, SignClosing, WarnPeer
from leyden.channel.env import ChannelEnv
from leyden.channel.errors import InvalidClosing, NotReestablished, UnexpectedMessage
from leyden.channel.inputs import ClosingSignature, Commit
from leyden.channel.session import ClosingFeeReceived, ClosingOffered, ClosingWanted
from leyden.channel.states import NOTHING, ChannelDecision, LiveState
from leyden.crypto import ec
from leyden.journal.records import CloseAgreed
from leyden.transactions.closing import (
    ClosingParameters,
    ClosingParty,
    ClosingTransaction,
    closing_candidates,
    closing_weight,
)
from leyden.transactions.fees import dust_limit_for_script_sat
from leyden.wire.messages import ClosingSigned, FeeRange, encode

MIN_CLOSING_FEERATE_PER_KW = 253


def _fee_bounds(state: LiveState, env: ChannelEnv) -> tuple[int, int, int]:
    """Return (ideal, least, most) fee in satoshi that we would sign."""
    core = state.core
    parameters = closing_parameters(core, state.keys)
    weight = closing_weight(parameters.funder_script_pubkey, parameters.fundee_script_pubkey)
    feerate = core.closing_feerate_per_kw or env.closing_feerate_per_kw
    least = weight * MIN_CLOSING_FEERATE_PER_KW // 1000
    ideal = max(least, weight * feerate // 1000)
    funds = parameters.funder_msat // 1000
    if parameters.fundee_msat // 1000 < dust_of(parameters, parameters.fundee_script_pubkey):
        # The funder's is the only output: a fee that left it dust would leave no transaction at all.
        funds = max(0, funds - dust_of(parameters, parameters.funder_script_pubkey))
    if core.opened.is_opener:
        return min(ideal, funds), min(max(least, ideal // 2), funds), min(ideal * 3, funds)
    # The opener pays: any fee that relays is fine with us.
    return min(ideal, funds), min(least, funds), funds


def dust_of(parameters: ClosingParameters, script_pubkey: bytes) -> int:
    """Return below how many satoshi an output to this script is left out of the closing transaction."""
    return max(parameters.dust_limit_sat, dust_limit_for_script_sat(script_pubkey))


def on_commit(state: LiveState, _event: Commit, env: ChannelEnv) -> ChannelDecision:
    """The opener speaks first, once on each connection."""
    session = state.session
    if not state.core.opened.is_opener or not session.reestablished or session.closing_wanted_satoshis is not None:
        return NOTHING
    ideal, _least, _most = _fee_bounds(state, env)
    return Decision((), (ClosingWanted(ideal),), (SignClosing(ideal, 0),))


def on_closing_signature(state: LiveState, event: ClosingSignature, env: ChannelEnv) -> ChannelDecision:
    """Our signature for a fee is ready: offer it, or finish when it is the fee that the peer has signed."""
    session, core = state.session, state.core
    fee = event.fee_satoshis
    if session.closing_wanted_satoshis != fee or not session.reestablished:
        return NOTHING
    _ideal, least, most = _fee_bounds(state, env)
    offer = SendMessage(
        encode(ClosingSigned(core.opened.channel_id, fee, event.signature, FeeRange(min(least, fee), max(most, fee))))
    )
    peer = session.peer_closing
    if peer is not None and peer.fee_satoshis == fee and peer.form == event.form:
        transaction = _signed(state, peer, event.signature)
        return Decision((CloseAgreed(transaction, fee),), (), (offer, PublishClose()))
    return Decision((), (ClosingOffered(fee, event.signature),), (offer,))


def on_closing_signed(state: LiveState, msg: ClosingSigned, env: ChannelEnv) -> ChannelDecision:
    """Check the peer's signature; agree, or answer with another fee.

    Raises: InvalidClosing, UnexpectedMessage.
    Spec:   BOLT 2, "Legacy Closing Negotiation: `closing_signed`".
    """
    session, core = state.session, state.core
    if not session.reestablished:
        raise NotReestablished("closing_signed before channel_reestablish")
    if core.opened.is_opener and session.closing_wanted_satoshis is None:
        raise UnexpectedMessage("the opener offers the first closing fee")
    if msg.fee_satoshis > closing_parameters(core, state.keys).funder_msat // 1000:
        raise InvalidClosing("the opener cannot pay this fee")
    received = ClosingFeeReceived(msg.fee_satoshis, msg.signature, _signed_form(state, msg))
    if session.closing_fee_satoshis == msg.fee_satoshis and received.form == 0:
        transaction = _signed(state, received, session.closing_signature)
        return Decision((CloseAgreed(transaction, msg.fee_satoshis),), (received,), (PublishClose(),))
    fee = _answer(state, msg, env)
    if fee is None:
        return Decision((), (received,), (WarnPeer("no closing fee is acceptable to both", disconnect=False),))
    form = received.form if fee == msg.fee_satoshis else 0
    return Decision((), (received, ClosingWanted(fee)), (SignClosing(fee, form),))


def _answer(state: LiveState, msg: ClosingSigned, env: ChannelEnv) -> int | None:
    """Return the fee to answer with, or None when the two ranges do not meet: then the peer may offer another one.

    Raises: InvalidClosing when the peer does not converge.
    Spec:   BOLT 2, "Legacy Closing Negotiation: `closing_signed`".
    """
    ideal, least, most = _fee_bounds(state, env)
    session, fee = state.session, msg.fee_satoshis
    own = session.closing_fee_satoshis
    if least <= fee <= most:
        return fee
    if msg.fee_range is not None:
        low, high = max(least, msg.fee_range.min_fee_satoshis), min(most, msg.fee_range.max_fee_satoshis)
        if low > high:
            return None
        if own is not None:
            raise InvalidClosing(f"fee_satoshis {fee} is not in the overlap {low}..{high} of both fee_range")
        return min(max(ideal, low), high)
    if own is None:
        return ideal
    earlier = session.peer_closing
    if earlier is not None and not min(own, earlier.fee_satoshis) < fee < max(own, earlier.fee_satoshis):
        raise InvalidClosing(f"fee_satoshis {fee} is not strictly between {own} and {earlier.fee_satoshis}")
    # Without ranges each answer lies strictly between the last two.
    between = (own + fee) // 2
    return fee if between in (own, fee) else between


def closing_form(state: LiveState, fee_satoshis: int, form: int) -> ClosingTransaction:
    """Return the closing transaction of this fee: form 0 as we build it, others as the peer may (`_forms`)."""
    return _forms(state, fee_satoshis)[form]


def _forms(state: LiveState, fee_satoshis: int) -> tuple[ClosingTransaction, ...]:
    opened = state.core.opened
    sender = ClosingParty.FUNDEE if opened.is_opener else ClosingParty.FUNDER
    parameters = closing_parameters(state.core, state.keys)
    return closing_candidates(parameters, fee_satoshis, sender, opened.remote.dust_limit_satoshis)


def _signed_form(state: LiveState, msg: ClosingSigned) -> int:
    """Return which form the peer signed (BOLT 3, "Legacy Closing Transaction")."""
    peer_key = state.core.opened.remote.funding_pubkey
    for form, closing in enumerate(_forms(state, msg.fee_satoshis)):
        if closing.parties and ec.verify_ecdsa(peer_key, closing.digest(), msg.signature):
            return form
    raise InvalidClosing("signature does not sign the closing transaction with this fee")


def _signed(state: LiveState, peer: ClosingFeeReceived, own_signature: bytes) -> bytes:
    """Return the closing transaction with both signatures."""
    opened = state.core.opened
    signed = closing_form(state, peer.fee_satoshis, peer.form).signed_transaction(
        (opened.local.funding_pubkey, own_signature), (opened.remote.funding_pubkey, peer.signature)
    )
    return signed.serialize()
