"""What the signer refuses whoever asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.crypto.hashes import sha256
from leyden.signer.policy import RevocationPolicy, SignerRefused, check_claim_script
from leyden.transactions.claim_inputs import ClaimKey, InputToSign
from leyden.transactions.scripts import anchor_script, funding_script, revocable_script, to_remote_anchors_script
from tests.signer.two_signers import KEYS_ID, PEER_KEYS_ID, peer_signer, signer


def test_revoked_commitment_is_never_signed() -> None:
    """Publishing it would give the whole channel to the peer."""
    policy = RevocationPolicy()
    policy.secret_released(4)
    policy.secret_released(5)
    for number in (0, 4, 5):
        with pytest.raises(SignerRefused, match="is revoked"):
            policy.holder_commitment_signed(number)
    policy.holder_commitment_signed(6)


def test_secret_of_a_commitment_that_may_be_published_is_never_released() -> None:
    """A broadcast signed before a crash may be mined after it."""
    policy = RevocationPolicy()
    policy.holder_commitment_signed(6)
    policy.holder_commitment_signed(7)
    for number in (6, 7, 8):
        with pytest.raises(SignerRefused, match="may be published"):
            policy.secret_released(number)
    policy.secret_released(5)


def test_last_secret_is_released_again_and_no_older_or_later_one() -> None:
    """A reconnection repeats the last revocation; anything else is a bug of the caller."""
    policy = RevocationPolicy()
    for number in (10, 10, 11, 11, 12):
        policy.secret_released(number)
    for number in (0, 11, 14):
        with pytest.raises(SignerRefused, match="out of order"):
            policy.secret_released(number)
    assert policy.highest_revoked == 12


def test_refusal_is_an_assertion() -> None:
    """It halts the channel like any other broken invariant of ours; nobody catches it as an answer."""
    assert issubclass(SignerRefused, AssertionError)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=30))
def test_no_sequence_of_requests_gets_both_signature_and_secret(requests: list[tuple[bool, int]]) -> None:
    """The one thing that must never happen, whatever is asked in whatever order."""
    policy = RevocationPolicy()
    signed: list[int] = []
    released: list[int] = []
    for sign, number in requests:
        try:
            (policy.holder_commitment_signed if sign else policy.secret_released)(number)
        except SignerRefused:
            continue
        (signed if sign else released).append(number)
    if signed and released:
        assert min(signed) > max(released)


OURS, THEIRS = signer().channel_basepoints(KEYS_ID), peer_signer().channel_basepoints(PEER_KEYS_ID)
SCRIPTS = {
    "": b"",
    "funding": funding_script(OURS.funding_public_key, THEIRS.funding_public_key),
    "our anchor": anchor_script(OURS.funding_public_key),
    "their anchor": anchor_script(THEIRS.funding_public_key),
    "our to_remote": to_remote_anchors_script(OURS.payment_basepoint),
    "to_remote of a commitment of ours": to_remote_anchors_script(THEIRS.payment_basepoint),
    "anchor of another key": anchor_script(OURS.payment_basepoint),
    "to_local": revocable_script(OURS.revocation_basepoint, 144, THEIRS.delayed_payment_basepoint),
}


@pytest.mark.parametrize(
    ("key", "allowed"), [(ClaimKey.FUNDING, {"our anchor"}), (ClaimKey.PAYMENT, {"", "our to_remote"})]
)
@pytest.mark.parametrize("name", SCRIPTS)
def test_keys_that_never_change_sign_claims_of_their_own_outputs_only(
    key: ClaimKey, allowed: set[str], name: str
) -> None:
    """The funding key over the funding script would publish any commitment."""
    spend = InputToSign(3, key, b"", SCRIPTS[name], 1_000)
    if name in allowed:
        check_claim_script(OURS, spend)
        return
    with pytest.raises(SignerRefused, match=f"input 3: the {key.value} key signs no claim over this script"):
        check_claim_script(OURS, spend)


@pytest.mark.parametrize("key", [ClaimKey.REVOCATION, ClaimKey.DELAYED_PAYMENT, ClaimKey.HTLC])
def test_a_key_of_one_commitment_always_names_its_script(key: ClaimKey) -> None:
    """Without one the output would be taken for a to_remote, which is the payment key's."""
    check_claim_script(OURS, InputToSign(0, key, sha256(b"any"), SCRIPTS["to_local"], 1_000))
    with pytest.raises(SignerRefused, match=f"the {key.value} key"):
        check_claim_script(OURS, InputToSign(0, key, sha256(b"any"), b"", 1_000))
