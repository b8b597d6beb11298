"""The fee of the closing transaction: who speaks first, how two wishes meet, and what is signed in the end."""

from typing import Any

import msgspec
import pytest

from leyden.base.errors import Reaction
from leyden.bitcoin.tx import Transaction
from leyden.channel import effects as fx
from leyden.channel.build import closing_parameters
from leyden.channel.env import ChannelLimits
from leyden.channel.errors import InvalidClosing, NotReestablished, UnexpectedMessage
from leyden.channel.inputs import ClosingSignature, Commit, StartShutdown
from leyden.channel.negotiating import closing_form, dust_of
from leyden.channel.states import MutualClose, Negotiating
from leyden.crypto import ec
from leyden.journal.records import CloseAgreed
from leyden.transactions.closing import ClosingParty, build_closing, closing_candidates, closing_weight
from leyden.wire.messages import ClosingSigned, FeeRange
from tests.channel.pair import Pair, ready_pair
from tests.channel.play import Party, a, play
from tests.channel.test_opening_v1 import high_s


def negotiating(
    limits: tuple[ChannelLimits | None, ChannelLimits | None] = (None, None),
    feerate_per_kw: int = 1_000,
    **request: Any,
) -> Pair:
    """Both `shutdown` are exchanged; the opener has not spoken yet."""
    pair = ready_pair(limits, **request)
    pair.give(0, StartShutdown(pair.a.signer.shutdown_script_pubkey(), feerate_per_kw))
    pair.give(1, pair.sent(0)[0])
    pair.give(0, pair.sent(1)[0])
    pair.wires[0].clear()
    pair.wires[1].clear()
    assert type(pair.a.state) is type(pair.b.state) is Negotiating
    return pair


def signed_by(
    party: Party, fee_satoshis: int, fee_range: tuple[int, int] | None = None, form: int = 0
) -> ClosingSigned:
    """What `party` would say for this fee. form 1: without its own output."""
    closing = closing_form(party.state, fee_satoshis, 0)
    if form:
        sender = ClosingParty.FUNDER if party.core.opened.is_opener else ClosingParty.FUNDEE
        parameters = closing_parameters(party.core, party.state.keys)
        closing = closing_candidates(parameters, fee_satoshis, sender, parameters.dust_limit_sat)[1]
    signature = party.signer.sign_closing(party.keys_id, closing)
    bounds = None if fee_range is None else FeeRange(*fee_range)
    return ClosingSigned(party.core.opened.channel_id, fee_satoshis, signature, bounds)


def weight_of(party: Party) -> int:
    """Weight of the closing transaction."""
    parameters = closing_parameters(party.core, party.state.keys)
    return closing_weight(parameters.funder_script_pubkey, parameters.fundee_script_pubkey)


def check_close(pair: Pair, *, outputs: int = 2) -> Transaction:
    """Both hold a closing transaction that both keys have signed; return it."""
    transactions = []
    for party in pair.parties:
        assert type(party.state) is MutualClose
        agreed = party.core.close_agreed
        assert agreed is not None
        transactions.append(Transaction.parse(agreed.transaction))
    one, two = transactions
    assert one == two
    assert len(one.inputs[0].witness) == 4
    assert len(one.outputs) == outputs
    assert [one for party in pair.parties for one in party.seen if type(one) is fx.PublishClose]
    return one


def test_the_opener_speaks_first_and_two_messages_are_enough() -> None:
    """It pays, so it proposes: fee by its feerate, and the range it would sign."""
    pair = negotiating(feerate_per_kw=2_000)
    play(pair.b).on(Commit()).expect_nothing()
    ideal = weight_of(pair.a) * 2_000 // 1_000
    dialogue = play(pair.a).on(Commit()).expect(fx.SignClosing(ideal, 0))
    dialogue.on(Commit()).expect_nothing()
    dialogue.signed().expect(a(ClosingSigned, fee_satoshis=ideal, fee_range=FeeRange(ideal // 2, ideal * 3)))
    pair.collect(0)
    dialogue = play(pair.b).on(pair.sent(0)[0]).expect(fx.SignClosing(ideal, 0))
    dialogue.signed().expect(a(CloseAgreed, fee_satoshis=ideal), a(ClosingSigned, fee_satoshis=ideal), fx.PublishClose)
    pair.collect(1)
    play(pair.a).on(pair.sent(1)[0]).expect(a(CloseAgreed, fee_satoshis=ideal), fx.PublishClose)
    transaction = check_close(pair)
    assert sorted(output.value_sat for output in transaction.outputs) == sorted((6_000_000 - ideal, 4_000_000))


def test_both_signatures_of_the_agreed_transaction_hold() -> None:
    """It is broadcast as it stands in the journal."""
    pair = negotiating()
    pair.pump()
    check_close(pair)
    agreed = pair.a.core.close_agreed
    assert agreed is not None
    closing = closing_form(pair.a.state, agreed.fee_satoshis, 0)
    witness = Transaction.parse(agreed.transaction).inputs[0].witness
    keys = {pair.a.core.opened.local.funding_pubkey, pair.b.core.opened.local.funding_pubkey}
    signatures = [ec.signature_from_der(one[:-1]) for one in witness[1:3]]
    for key in sorted(keys):
        assert sum(ec.verify_ecdsa(key, closing.digest(), one) for one in signatures) == 1


def test_the_fundee_takes_any_fee_that_is_relayed() -> None:
    """It does not pay: only a fee too low to be relayed is bad for it."""
    least = weight_of(negotiating().b) * 253 // 1_000
    for fee in (least, 5_999_000):
        pair = negotiating()
        message = signed_by(pair.a, fee, (fee, fee))
        play(pair.b).on(message).expect(fx.SignClosing(fee, 0)).signed().expect(
            CloseAgreed, ClosingSigned, fx.PublishClose
        )


def test_the_fundee_answers_with_a_fee_in_the_overlap() -> None:
    """The opener's first fee is too low to be relayed, its range is not."""
    pair = negotiating()
    least, ideal = (weight_of(pair.b) * rate // 1_000 for rate in (253, 1_000))
    for high, answer in ((ideal + 50, ideal), (least + 5, least + 5)):
        pair = negotiating()
        dialogue = play(pair.b).on(signed_by(pair.a, 10, (5, high))).expect(fx.SignClosing(answer, 0))
        dialogue.signed().expect(a(ClosingSigned, fee_satoshis=answer))
        assert pair.b.session.closing_fee_satoshis == answer
        pair.b.out.clear()
        dialogue.on(signed_by(pair.a, answer, (5, high))).expect(a(CloseAgreed, fee_satoshis=answer), fx.PublishClose)


def test_ranges_that_do_not_meet_are_warned_about_and_may_be_offered_anew() -> None:
    """No close from this offer, and no force-close either: the peer may come with a better range."""
    pair = negotiating()
    play(pair.b).on(signed_by(pair.a, 10, (5, 20))).expect(a(fx.WarnPeer, disconnect=False))
    assert type(pair.b.state) is Negotiating
    play(pair.b).on(signed_by(pair.a, 500, (400, 600))).expect(fx.SignClosing(500, 0))


def test_a_fee_outside_of_both_ranges_fails_the_channel() -> None:
    """The peer has seen our range and had to keep to it."""
    pair = negotiating()
    pair.give(0, Commit())
    pair.give(0, pair.a.answer_of_signer())
    ideal = weight_of(pair.a)
    outside = signed_by(pair.b, ideal * 4, (100, ideal * 5))
    play(pair.a).refuses(outside, InvalidClosing, "is not in the overlap")
    assert InvalidClosing.reaction is Reaction.FAIL_CHANNEL
    # As the fundee: after our answer in the overlap, another fee outside of our range.
    pair = negotiating()
    play(pair.b).on(signed_by(pair.a, 10, (5, 5_000))).signed()
    play(pair.b).refuses(signed_by(pair.a, 11, (5, 5_000)), InvalidClosing, "is not in the overlap")


def test_a_fee_within_our_range_is_taken_whatever_we_said_first() -> None:
    """Three messages: the third repeats the peer's fee."""
    pair = negotiating()
    pair.give(0, Commit())
    pair.give(0, pair.a.answer_of_signer())
    fee = weight_of(pair.a) * 2
    dialogue = play(pair.a).on(signed_by(pair.b, fee, (100, 10_000))).expect(fx.SignClosing(fee, 0))
    dialogue.signed().expect(a(CloseAgreed, fee_satoshis=fee), a(ClosingSigned, fee_satoshis=fee), fx.PublishClose)


def test_without_ranges_offers_converge_strictly_between_the_last_two() -> None:
    """The old way: each answer is nearer, so it ends."""
    pair = negotiating()
    pair.give(0, Commit())
    pair.give(0, pair.a.answer_of_signer())
    ideal = weight_of(pair.a)
    own, theirs, seen = ideal, ideal * 20, 0
    dialogue = play(pair.a)
    while not ideal // 2 <= theirs <= ideal * 3:
        between = (own + theirs) // 2
        dialogue.on(signed_by(pair.b, theirs)).expect(fx.SignClosing(between, 0))
        dialogue.signed().expect(a(ClosingSigned, fee_satoshis=between))
        assert own < between < theirs
        own, theirs, seen = between, theirs - (theirs - between) // 2, seen + 1
        if seen == 3:
            break
    assert seen == 3
    dialogue.on(signed_by(pair.b, own)).expect(a(CloseAgreed, fee_satoshis=own), fx.PublishClose)


@pytest.mark.parametrize("step", [0, 1, -1_000_000])
def test_without_ranges_an_offer_that_does_not_converge_fails_the_channel(step: int) -> None:
    """The same fee again, one further away, or one on the other side of ours: the negotiation would never end."""
    pair = negotiating()
    pair.give(0, Commit())
    pair.give(0, pair.a.answer_of_signer())
    far = weight_of(pair.a) * 1_500
    play(pair.a).on(signed_by(pair.b, far)).signed()
    play(pair.a).refuses(signed_by(pair.b, far + step if step >= 0 else 1), InvalidClosing, "not strictly between")


def test_an_offer_next_to_ours_is_taken() -> None:
    """There is nothing strictly between."""
    pair = negotiating()
    ideal = weight_of(pair.a)
    pair.give(0, Commit())
    pair.give(0, pair.a.answer_of_signer())
    pair.a.session.closing_fee_satoshis = ideal * 3 + 1  # as after some rounds
    play(pair.a).on(signed_by(pair.b, ideal * 3 + 2)).expect(fx.SignClosing(ideal * 3 + 2, 0))


def test_without_a_range_a_fundee_that_dislikes_the_first_fee_says_its_own() -> None:
    """It has not spoken, so there is nothing to be between."""
    pair = negotiating()
    ideal = weight_of(pair.b)
    play(pair.b).on(signed_by(pair.a, 10)).expect(fx.SignClosing(ideal, 0))


@pytest.mark.parametrize("spoil", [high_s, lambda signature: bytes(64), lambda signature: signature[::-1]])
def test_a_wrong_or_high_s_signature_fails_the_channel(spoil: Any) -> None:
    """It signs no transaction that we could broadcast."""
    pair = negotiating()
    message = signed_by(pair.a, 1_000)
    wrong = msgspec.structs.replace(message, signature=spoil(message.signature))
    play(pair.b).refuses(wrong, InvalidClosing, "does not sign the closing transaction")
    other_fee = msgspec.structs.replace(message, fee_satoshis=1_001)
    play(pair.b).refuses(other_fee, InvalidClosing, "does not sign the closing transaction")


def test_a_fee_above_what_the_opener_has_fails_the_channel() -> None:
    """There is no such transaction."""
    pair = negotiating()
    message = msgspec.structs.replace(signed_by(pair.a, 1_000), fee_satoshis=6_000_001)
    play(pair.b).refuses(message, InvalidClosing, "cannot pay this fee")


def test_the_variant_without_the_signer_s_own_output_is_accepted() -> None:
    """Each side may leave out its own output when it thinks it dust; the answer signs the same transaction."""
    for sender, other in ((0, 1), (1, 0)):
        pair = negotiating()
        fee = weight_of(pair.a)
        if sender == 1:
            pair.give(0, Commit())
            pair.give(0, pair.a.answer_of_signer())
        party = pair.parties[other]
        dialogue = play(party).on(signed_by(pair.parties[sender], fee, form=1)).expect(fx.SignClosing(fee, 1))
        dialogue.signed().expect(a(CloseAgreed, fee_satoshis=fee), a(ClosingSigned, fee_satoshis=fee), fx.PublishClose)
        agreed = party.core.close_agreed
        assert agreed is not None
        (output,) = Transaction.parse(agreed.transaction).outputs
        assert output.script_pubkey == party.core.local_shutdown_script


def test_dust_outputs_are_dropped() -> None:
    """A closing output below the dust limit of its script would keep the transaction from being relayed."""
    pair = negotiating(push_msat=353_999)
    pair.pump()
    transaction = check_close(pair, outputs=1)
    assert transaction.outputs[0].script_pubkey == pair.a.core.local_shutdown_script
    kept = negotiating(push_msat=354_000)
    kept.pump()
    check_close(kept, outputs=2)
    # A signature on a transaction that keeps a dust output fits none of the variants.
    pair = negotiating(push_msat=353_999)
    parameters = msgspec.structs.replace(closing_parameters(pair.a.core, pair.a.state.keys), dust_limit_sat=1)
    assert dust_of(parameters, parameters.fundee_script_pubkey) == 294
    signature = pair.a.signer.sign_closing(pair.a.keys_id, build_closing(parameters, 1_000))
    message = ClosingSigned(pair.a.core.opened.channel_id, 1_000, signature)
    play(pair.b).refuses(message, InvalidClosing, "does not sign the closing transaction")


@pytest.mark.parametrize(("higher", "outputs"), [(0, 1), (1, 2)])
def test_the_dust_limit_of_who_offers_decides_what_is_dropped(higher: int, outputs: int) -> None:
    """Each side builds by its own dust_limit_satoshis; the other takes what it would have built otherwise."""
    limits = [ChannelLimits(), ChannelLimits()]
    limits[higher] = ChannelLimits(dust_limit_satoshis=546)
    pair = negotiating((limits[0], limits[1]), push_msat=500_000)
    pair.pump()
    check_close(pair, outputs=outputs)


def test_a_transaction_without_outputs_is_refused() -> None:
    """All would go to the miners, if any took it: there is no closing transaction in that."""
    small = ChannelLimits(channel_reserve_floor_satoshis=354)
    pair = negotiating((small, small), funding_satoshis=20_000, push_msat=0)
    closing = closing_form(pair.a.state, 19_900, 0)
    assert not closing.parties
    signature = pair.a.signer.sign_closing(pair.a.keys_id, closing)
    message = ClosingSigned(pair.a.core.opened.channel_id, 19_900, signature)
    play(pair.b).refuses(message, InvalidClosing, "does not sign the closing transaction")


def test_a_signature_of_one_form_does_not_complete_the_other() -> None:
    """A late answer of the signer for the usual form, when the peer has left its own output out."""
    pair = negotiating()
    pair.give(0, Commit())
    usual = pair.a.answer_of_signer()
    pair.give(0, usual)
    fee = usual.fee_satoshis
    play(pair.a).on(signed_by(pair.b, fee, form=1)).expect(fx.SignClosing(fee, 1))
    play(pair.a).on(usual).expect(a(ClosingSigned, fee_satoshis=fee))
    assert type(pair.a.state) is Negotiating


def test_a_huge_feerate_leaves_a_transaction() -> None:
    """When the other side has nothing, a fee that takes all would leave no output at all."""
    small = ChannelLimits(channel_reserve_floor_satoshis=354)
    pair = negotiating((small, small), feerate_per_kw=50_000, funding_satoshis=20_000, push_msat=0)
    pair.pump()
    transaction = check_close(pair, outputs=1)
    assert transaction.outputs[0].value_sat == 354


def test_a_reconnection_starts_the_negotiation_anew() -> None:
    """No state is kept (fees may have moved): the opener speaks first again."""
    pair = negotiating()
    pair.give(0, Commit())
    pair.give(0, pair.a.answer_of_signer())
    far = weight_of(pair.a) * 1_500
    play(pair.a).on(signed_by(pair.b, far)).signed()
    pair.reconnect()
    assert pair.a.session.closing_fee_satoshis is None
    pair.pump()
    check_close(pair)


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_cut_at_every_message_of_the_negotiation(cut: int) -> None:
    """Whoever has both signatures broadcasts; the other negotiates to the same fee."""
    pair = negotiating()
    pair.finish_pass(0)
    delivered = 0
    while delivered < cut and (pair.wires[0] or pair.wires[1]):
        delivered += pair.deliver(0, 1) or pair.deliver(1, 1)
    pair.a.env = msgspec.structs.replace(pair.a.env, closing_feerate_per_kw=1_800)
    pair.reconnect()
    pair.pump()
    check_close(pair)


def test_closing_signed_out_of_turn() -> None:
    """Before `channel_reestablish`, or from the fundee before the opener has spoken."""
    pair = negotiating()
    message = signed_by(pair.b, 1_000)
    play(pair.a).refuses(message, UnexpectedMessage, "the opener offers the first closing fee")
    early = ready_pair()
    play(early.a).refuses(message, UnexpectedMessage, "unexpected ClosingSigned")
    pair.disconnect()
    pair.reconnect()
    play(pair.b).refuses(signed_by(pair.a, 1_000), NotReestablished, "before channel_reestablish")


def test_a_late_answer_of_the_signer_is_dropped() -> None:
    """It belongs to a connection or to a fee that is gone."""
    pair = negotiating()
    pair.give(0, Commit())
    answer = pair.a.answer_of_signer()
    other = ClosingSignature(answer.signature, answer.fee_satoshis + 1, 0)
    play(pair.a).on(other).expect_nothing()
    pair.disconnect()
    play(pair.a).on(answer).expect_nothing()
