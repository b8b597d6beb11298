"""Keys of a hop."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from leyden.sphinx import keys
from tests.sphinx.routes import load


@given(st.binary(max_size=64), st.binary(max_size=100), st.binary(max_size=100))
def test_kept_states_give_plain_hmacs(key: bytes, beginning: bytes, rest: bytes) -> None:
    """The short cut must be HMAC-SHA-256 for every key and however the data are cut."""
    state = keys.HmacState(key, beginning)
    for _ in range(2):
        assert state.digest(rest) == hmac.new(key, beginning + rest, "sha256").digest()


def test_keys_of_the_vectors() -> None:
    """Every key type whose value a vector prints."""
    for hop in load("onion-error-test.json")["generate"]["hops"]:
        secret = bytes.fromhex(hop["hop_shared_secret"])
        assert keys.ammag_key(secret).hex() == hop["ammag_key"]
        assert "um_key" not in hop or keys.um_key(secret).hex() == hop["um_key"]
    success = load("returning-success-attribution.json")
    for hop in success["without_payload"]:
        secret = bytes.fromhex(hop["shared_secret"])
        assert keys.um_key(secret).hex() == hop["um_key"]
        assert keys.ammagext_key(secret).hex() == hop["ammagext_key"]
    final = bytes.fromhex(success["without_payload"][0]["shared_secret"])
    assert keys.fulfillment_key(final).hex() == success["with_payload"]["fulfillment_key"]
