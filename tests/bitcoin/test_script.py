"""Scripts: an output script that is wrong by one byte loses the money."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.bitcoin import script
from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import MAINNET
from leyden.bitcoin.script import ScriptType
from leyden.crypto.hashes import hash160, sha256

BIP67 = json.loads((Path(__file__).parent.parent / "vectors/bips/bip-0067/test-vectors.json").read_text())


@pytest.mark.parametrize("case", BIP67)
def test_bip67_order_script_and_address(case: dict[str, object]) -> None:
    """Both parties must build the same multisig script without talking about the order of keys."""
    keys = [bytes.fromhex(key) for key in case["list"]]  # type: ignore[attr-defined]
    ordered = script.sort_public_keys(keys)
    redeem_script = script.multisig(2, ordered)
    assert [key.hex() for key in ordered] == case["sorted"]
    assert redeem_script.hex() == case["script"]
    assert encode_address(script.p2sh_of_script(redeem_script), MAINNET) == case["address"]


@given(st.integers(-(2**39) + 1, 2**39 - 1))
def test_script_number_round_trips(n: int) -> None:
    """CLTV and CSV operands are script numbers of up to five bytes."""
    assert script.parse_script_num(script.script_num(n), 5) == n


@pytest.mark.parametrize(
    ("n", "raw"),
    [(0, ""), (1, "01"), (-1, "81"), (127, "7f"), (128, "8000"), (-255, "ff80"), (144, "9000"), (65536, "000001")],
)
def test_script_number_bytes(n: int, raw: str) -> None:
    """The sign bit costs an extra byte at 128; a to_self_delay of 144 shows it."""
    assert script.script_num(n).hex() == raw


@pytest.mark.parametrize("raw", ["00", "80", "0100", "0080", "ff0000", "010203040506"])
def test_script_number_in_longer_form_is_refused(raw: str) -> None:
    """Scripts with non-minimal numbers are not relayed."""
    with pytest.raises(DecodeError):
        script.parse_script_num(bytes.fromhex(raw), 5)


@pytest.mark.parametrize(
    ("n", "raw"), [(0, "00"), (-1, "4f"), (1, "51"), (16, "60"), (17, "0111"), (500_000, "0320a107")]
)
def test_push_of_number_is_the_shortest(n: int, raw: str) -> None:
    """Block heights in a coinbase and delays in scripts must be minimal pushes."""
    assert script.push_int(n).hex() == raw


@given(st.one_of(st.binary(max_size=90), st.integers(70, 300).map(bytes), st.just(bytes(70_000))))
def test_push_is_read_back(data: bytes) -> None:
    """Each of the four length forms reads back as one push."""
    assert [pushed for _, pushed in script.operations(script.push_data(data))] == [data]


@pytest.mark.parametrize("raw", ["01", "4c", "4c05aa", "4d01", "4d0200aa", "4e010000", "4bff"])
def test_push_past_the_end_is_refused(raw: str) -> None:
    """A truncated push makes a script unspendable."""
    with pytest.raises(DecodeError):
        list(script.operations(bytes.fromhex(raw)))


KEY_HASH, SCRIPT_HASH, KEY = bytes(range(20)), bytes(range(32)), b"\x02" + bytes(32)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (script.p2pkh(KEY_HASH), ScriptType.P2PKH),
        (script.p2sh(KEY_HASH), ScriptType.P2SH),
        (script.p2wpkh(KEY_HASH), ScriptType.P2WPKH),
        (script.p2wsh(SCRIPT_HASH), ScriptType.P2WSH),
        (script.p2tr(SCRIPT_HASH), ScriptType.P2TR),
        (script.P2A_SCRIPT, ScriptType.P2A),
        (b"\x51\x03abc", ScriptType.UNKNOWN_WITNESS),
        (b"\x60\x02ab", ScriptType.UNKNOWN_WITNESS),
        (b"\x00\x03abc", ScriptType.NON_STANDARD),
        (script.null_data(b"hello"), ScriptType.NULL_DATA),
        (b"\x6a\x05abc", ScriptType.NON_STANDARD),
        (b"\x21" + KEY + b"\xac", ScriptType.P2PK),
        (script.multisig(1, [KEY]), ScriptType.NON_STANDARD),
        (b"", ScriptType.NON_STANDARD),
    ],
)
def test_output_scripts_are_told_apart(raw: bytes, kind: ScriptType) -> None:
    """Shutdown scripts, dust limits and addresses depend on the kind."""
    assert script.classify(raw) is kind


@given(st.binary(max_size=80))
def test_classify_takes_any_bytes(raw: bytes) -> None:
    """Output scripts come from anybody who mines."""
    assert isinstance(script.classify(raw), ScriptType)


def test_scripts_of_keys_and_scripts_commit_to_their_hashes() -> None:
    """The short forms must equal the long ones."""
    assert script.p2wpkh_of_key(KEY) == script.p2wpkh(hash160(KEY))
    assert script.p2wsh_of_script(b"\x51") == script.p2wsh(sha256(b"\x51"))
    assert script.p2sh_of_script(b"\x51") == script.p2sh(hash160(b"\x51"))
    assert script.p2wpkh_script_code(KEY_HASH) == script.p2pkh(KEY_HASH)
