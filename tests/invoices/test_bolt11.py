"""BOLT 11: whoever misreads an invoice pays the wrong amount, the wrong person, or nobody."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.bitcoin import bech32
from leyden.bitcoin.networks import MAINNET, NETWORKS
from leyden.bitcoin.script import p2pkh, p2sh
from leyden.crypto.ec import public_key, sign_recoverable
from leyden.invoices.bolt11 import MAX_INVOICE_CHARACTERS, Bolt11Invoice, RouteHintHop, decode, encode, encode_tags
from leyden.invoices.prefix import parse_prefix

VECTORS = Path(__file__).parent.parent / "vectors"
FILE = json.loads((VECTORS / "bolt11" / "invoices.json").read_text())
DUPLICATES = json.loads((VECTORS / "proposed" / "bolt11-duplicate-payment-hash.json").read_text())
SECRET = bytes.fromhex(FILE["private_key"])
NODE_ID = public_key(SECRET)

# The text of BOLT 11 still lists this one as valid, though since its change 1243 a reader must fail p, h, s and n of
# wrong length. The rule wins over the example (and the draft of change 1357 lists the example as invalid).
CONTESTED = "ignored_fields"
VALID = [case for case in FILE["valid"] if case["name"] != CONTESTED]
CONTESTED_CASE = next(case for case in FILE["valid"] if case["name"] == CONTESTED)


def sign(digest: bytes) -> bytes:
    return sign_recoverable(SECRET, digest)


def named(cases: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["name"])


@named(VALID)
def test_valid_invoice_decodes_to_the_printed_fields(case: dict[str, Any]) -> None:
    """Every field of every example of BOLT 11."""
    expect, invoice = case["expect"], decode(case["invoice"])
    assert invoice.network.bech32_hrp == expect["network"]
    assert (invoice.amount_msat, invoice.timestamp) == (expect["amount_msat"], expect["timestamp"])
    assert invoice.payee_node_id.hex() == expect["payee_recovered"]
    fields: dict[str, list[dict[str, Any]]] = {}
    for field in expect["fields"]:
        fields.setdefault(field["tag"], []).append(field)
    check_single_fields(invoice, {tag: found[0] for tag, found in fields.items()})
    assert [[hop_text(hop) for hop in hops] for hops in invoice.route_hints] == [
        [tuple(hop.values()) for hop in field["hops"]] for field in fields.get("r", [])
    ]
    programs = [(f["version"], f["program"]) for f in fields.get("f", [])]
    assert [fallback_text(script) for script in invoice.fallback_script_pubkeys] == programs
    assert len(invoice.fallback_addresses()) == len(programs)
    assert invoice.unknown_tags == ()


def check_single_fields(invoice: Bolt11Invoice, fields: dict[str, dict[str, Any]]) -> None:
    assert invoice.payment_hash.hex() == fields["p"]["hex"]
    assert invoice.payment_secret.hex() == fields["s"]["hex"]
    assert invoice.description == (fields["d"]["utf8"] if "d" in fields else None)
    assert invoice.description_hash == (bytes.fromhex(fields["h"]["hex"]) if "h" in fields else None)
    assert invoice.expiry_seconds == (fields["x"]["value"] if "x" in fields else 3600)
    assert invoice.min_final_cltv_expiry_delta == (fields["c"]["value"] if "c" in fields else 18)
    assert invoice.payment_metadata == (bytes.fromhex(fields["m"]["hex"]) if "m" in fields else None)
    bitmap = int.from_bytes(invoice.features, "big")
    assert [bit for bit in range(bitmap.bit_length()) if bitmap >> bit & 1] == fields["9"]["bits"]


def hop_text(hop: RouteHintHop) -> tuple[object, ...]:
    scid = hop.short_channel_id
    place = f"{scid >> 40}x{scid >> 16 & 0xFFFFFF}x{scid & 0xFFFF}"
    return (hop.node_id.hex(), place, hop.fee_base_msat, hop.fee_proportional_millionths, hop.cltv_expiry_delta)


def fallback_text(script: bytes) -> tuple[int, str]:
    for version, program, build in ((17, script[3:23], p2pkh), (18, script[2:22], p2sh)):
        if script == build(program):
            return version, program.hex()
    return max(script[0] - 0x50, 0), script[2:].hex()


DUPLICATE_REASONS = {"duplicate_payment_hash": "p", "wrong_length_p_h_s_n": "p"}
FIELD_BY_REASON = {
    "unknown_even_feature": "9",
    "bech32_checksum": "checksum",
    "bech32_no_separator": "bech32",
    "bech32_mixed_case": "bech32",
    "signature_recovery": "signature",
    "too_short": "signature",
    "amount_multiplier": "amount",
    "amount_precision": "amount",
    "missing_s": "s",
    # This example also gives s twice, which is noticed first; the next test but one isolates the high S.
    "high_s_with_n": "s",
    **DUPLICATE_REASONS,
}


@named(FILE["invalid"] + DUPLICATES["vectors"])
def test_invalid_invoice_is_refused_at_the_right_field(case: dict[str, Any]) -> None:
    """Every bad example of BOLT 11, and those of its open change 1357 (duplicate payment hash)."""
    with pytest.raises(DecodeError) as error:
        decode(case["invoice"])
    assert error.value.field == FIELD_BY_REASON[case["reason"]]


def test_contested_example_is_refused_for_its_wrong_lengths() -> None:
    """See CONTESTED above: fixed-length fields of another length fail the payment."""
    with pytest.raises(DecodeError, match="51 symbols instead of 52") as error:
        decode(CONTESTED_CASE["invoice"])
    assert error.value.field == "p"


def tags_of(text: str) -> tuple[str, int, list[tuple[int, bytes]]]:
    """Take an invoice apart without judging it: prefix, timestamp, tags."""
    hrp, symbols, _ = bech32.decode(text, max_length=10_000)
    position, tags, end = 7, [], len(symbols) - 104
    while position < end:
        stop = position + 3 + (symbols[position + 1] << 5 | symbols[position + 2])
        tags.append((symbols[position], symbols[position + 3 : stop]))
        position = stop
    return hrp, int.from_bytes(bech32.bytes_of(b"\x00" + symbols[:7]), "big"), tags


@named([case for case in FILE["valid"] if not case["expect"]["high_s"]])
def test_signing_the_fields_of_an_example_gives_the_example(case: dict[str, Any]) -> None:
    """Signing is deterministic, so our digest and signature must reproduce each example to the letter."""
    text = case["invoice"].lower()
    digests: list[bytes] = []

    def recording(digest: bytes) -> bytes:
        digests.append(digest)
        return sign(digest)

    assert encode_tags(*tags_of(text), recording, NODE_ID) == text
    assert digests[0].hex() == case["expect"]["sha256"]


@named(VALID)
def test_decoded_example_survives_encoding(case: dict[str, Any]) -> None:
    """What we decode we can state again without loss."""
    invoice = decode(case["invoice"])
    if not case["expect"]["high_s"]:
        assert decode(encode(invoice, sign)) == invoice


def test_invoice_may_be_all_upper_case_but_for_its_meaning() -> None:
    """QR codes of upper-case text are smaller, so wallets print them so."""
    for case in VALID:
        assert decode(case["invoice"].upper()) == decode(case["invoice"].lower())


P, S, D = (1, bytes(51) + b"\x10"), (16, bytes(50) + b"\x01\x00"), (13, b"")
BASE = [P, S, D]
STAMP = 1_700_000_000


def invoice_of(tags: list[tuple[int, bytes]], hrp: str = "lnbc", key: bytes = SECRET) -> str:
    return encode_tags(hrp, STAMP, tags, lambda digest: sign_recoverable(key, digest), public_key(key))


def refused(tags: list[tuple[int, bytes]], field: str, hrp: str = "lnbc") -> None:
    with pytest.raises(DecodeError) as error:
        decode(invoice_of(tags, hrp))
    assert error.value.field == field


def test_smallest_invoice_has_the_defaults() -> None:
    """No x means an hour, no c means 18 blocks, no 9 means no features; an empty description is one."""
    invoice = decode(invoice_of(BASE))
    assert (invoice.expiry_seconds, invoice.min_final_cltv_expiry_delta, invoice.features) == (3600, 18, b"")
    assert (invoice.description, invoice.description_hash, invoice.amount_msat) == ("", None, None)
    assert invoice.expires_at() == STAMP + 3600
    assert not invoice.is_expired(STAMP + 3599)
    assert invoice.is_expired(STAMP + 3600)


def test_exactly_one_description_is_required() -> None:
    """Neither would be an unexplained bill; both could contradict each other."""
    refused([P, S], "d")
    refused([P, S, D, (23, bytes(52))], "d")
    assert decode(invoice_of([P, S, (23, bytes(52))])).description_hash == bytes(32)


def test_payment_hash_and_secret_are_required_once() -> None:
    """Without a secret any hop can probe the payee; with two hashes two readers could pay for different goods."""
    refused([S, D], "p")
    refused([P, D], "s")
    refused([P, P, S, D], "p")
    refused([P, S, S, D], "s")
    refused([P, S, D, D], "d")


@pytest.mark.parametrize(("tag", "letter", "length"), [(1, "p", 52), (23, "h", 52), (16, "s", 52), (19, "n", 53)])
def test_fixed_length_field_of_another_length_is_refused(tag: int, letter: str, length: int) -> None:
    """BOLT 11, "Requirements" (since change 1243), also when a good field of the same kind stands before it."""
    for wrong in (0, length - 1, length + 1):
        refused([*BASE, (tag, bytes(wrong))], letter)
        refused([(tag, bytes(wrong)), *BASE], letter)


def test_unknown_tags_are_skipped_and_kept() -> None:
    """Tomorrow's fields must not stop today's payer, nor be lost when the invoice is stated again."""
    extra = [(2, b"\x01\x02\x03"), (0, b""), (9, bytes([19, 1, 2])), (9, bytes([31]))]
    invoice = decode(invoice_of([*BASE, *extra]))
    assert invoice.unknown_tags == tuple(extra)
    assert invoice.fallback_script_pubkeys == ()
    assert decode(encode(invoice, sign)) == invoice


def test_first_of_several_optional_fields_counts() -> None:
    """A writer puts the most preferred first (BOLT 11, "Requirements")."""
    tags = [*BASE, (24, b"\x05"), (24, b"\x06"), (6, b"\x07"), (6, b"\x08"), (27, b"\x08\x00"), (27, b"")]
    invoice = decode(invoice_of(tags))
    assert (invoice.min_final_cltv_expiry_delta, invoice.expiry_seconds, invoice.payment_metadata) == (5, 7, b"\x40")


@pytest.mark.parametrize(("tag", "letter"), [(24, "c"), (6, "x"), (5, "9")])
def test_number_with_leading_zeros_is_refused(tag: int, letter: str) -> None:
    """BOLT 11, "Requirements": such an invoice is malformed."""
    refused([*BASE, (tag, b"\x00\x01")], letter)


def test_absurd_numbers_are_refused() -> None:
    """A field can hold 5115 bits; such an expiry or delta would overflow whatever stores it."""
    refused([*BASE, (6, b"\x01" + bytes(10))], "x")
    refused([*BASE, (24, b"\x1f" * 6)], "c")
    refused([*BASE, (6, b"\x1f" * 1023)], "x")


def features(*bits: int) -> tuple[int, bytes]:
    bitmap = sum(1 << bit for bit in bits)
    return 5, bytes([bitmap >> shift & 31 for shift in range((bitmap.bit_length() - 1) // 5 * 5, -1, -5)])


@pytest.mark.parametrize("bits", [(8, 14, 24), (262,), (100,), (0,), (8, 14, 5110)])
def test_required_feature_that_we_lack_is_refused(bits: tuple[int, ...]) -> None:
    """It is all right to be odd, not to be even: blinded paths (24, 262) come later, 0 has no place in an invoice."""
    refused([*BASE, features(*bits)], "9")


def test_features_that_we_have_or_may_ignore_are_accepted() -> None:
    """Odd bits may be anything; multi-part payments need the payment secret's bit beside them."""
    invoice = decode(invoice_of([*BASE, features(8, 14, 16, 25, 36, 48, 99, 263, 5113)]))
    assert int.from_bytes(invoice.features, "big").bit_count() == 9
    refused([*BASE, features(8, 17)], "9")


def test_stated_payee_is_verified_and_must_sign_low_s() -> None:
    """With n, the recovery id does not matter and a high S is refused (BOLT 11, "Requirements")."""
    key = (19, bech32.symbols_from(NODE_ID))
    good = invoice_of([*BASE, key])
    assert decode(good).payee_node_id == NODE_ID
    assert resigned(good, lambda sig: sig[:64] + bytes((sig[64] ^ 1,))).payee_node_id == NODE_ID
    for change in (high_s, lambda sig: b"\x01" * 64 + sig[64:]):
        with pytest.raises(DecodeError) as error:
            resigned(good, change)
        assert error.value.field == "signature"
    other = (19, bech32.symbols_from(public_key(b"\x01" * 32)))
    refused([*BASE, other], "signature")
    refused([*BASE, (19, bytes(53))], "n")


def high_s(signature: bytes) -> bytes:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes((signature[64] ^ 1,))


def resigned(text: str, change: Callable[[bytes], bytes]) -> Bolt11Invoice:
    hrp, symbols, constant = bech32.decode(text, max_length=10_000)
    signature = change(bech32.bytes_of(symbols[-104:]))
    return decode(bech32.encode(hrp, symbols[:-104] + bech32.symbols_from(signature), constant))


def test_recovered_payee_may_sign_high_s_and_recovery_id_is_used_as_is() -> None:
    """Without n both halves of S are legal; another recovery id means another payee, 4 and above none."""
    text = invoice_of(BASE)
    assert resigned(text, high_s).payee_node_id == NODE_ID
    assert resigned(text, lambda sig: sig[:64] + bytes((sig[64] ^ 1,))).payee_node_id != NODE_ID
    for recovery_id in (4, 27, 255):
        with pytest.raises(DecodeError, match="recovery id"):
            resigned(text, lambda sig, r=recovery_id: sig[:64] + bytes((r,)))  # type: ignore[misc]


HOP = RouteHintHop(NODE_ID, 1 << 40 | 2 << 16 | 3, 0xFFFFFFFF, 4, 0xFFFF)


def test_route_hints_of_several_hops_and_several_hints() -> None:
    """A payee behind two private channels, reachable by two ways."""
    base = decode(invoice_of(BASE))
    hinted = Bolt11Invoice(
        **{f: getattr(base, f) for f in base.__struct_fields__} | {"route_hints": ((HOP, HOP), (HOP,))}
    )
    assert decode(encode(hinted, sign)) == hinted


@pytest.mark.parametrize("raw", [b"", bytes(50), bytes(51), NODE_ID + bytes(17), NODE_ID + bytes(19)])
def test_malformed_route_hint_is_refused(raw: bytes) -> None:
    """A hint with half a hop or an impossible key leads nowhere."""
    refused([*BASE, (3, bech32.symbols_from(raw))], "r")


@pytest.mark.parametrize(
    "symbols", [b"", b"\x11", b"\x12" + bytes(10), b"\x00" + bytes(31), b"\x01", b"\x01" + bytes(66)]
)
def test_malformed_fallback_is_refused(symbols: bytes) -> None:
    """Money sent to a witness program of the wrong length is lost."""
    refused([*BASE, (9, symbols)], "f")


def test_description_that_is_not_utf8_is_refused() -> None:
    """Two programs would show it differently."""
    refused([P, S, (13, bech32.symbols_from(b"\xff\xfe"))], "d")


def test_truncated_fields_are_refused() -> None:
    """Lengths that run into the signature, or a head cut off, must not read the signature as data."""
    hrp, symbols, constant = bech32.decode(invoice_of(BASE), max_length=10_000)
    body, signature = symbols[:-104], symbols[-104:]
    for tail in (b"\x02", b"\x02\x00", b"\x02\x00\x01", b"\x02\x1f\x1f" + bytes(100)):
        with pytest.raises(DecodeError):
            decode(bech32.encode(hrp, body + tail + signature, constant))
    with pytest.raises(DecodeError, match="too short"):
        decode(bech32.encode(hrp, body[:6] + signature, constant))


def test_bech32m_and_unknown_networks_are_refused() -> None:
    """BOLT 11 uses bech32; an invoice of a network we do not know must not be paid on ours."""
    hrp, symbols, _ = bech32.decode(invoice_of(BASE), max_length=10_000)
    with pytest.raises(DecodeError) as error:
        decode(bech32.encode(hrp, symbols, bech32.BECH32M_CONST))
    assert error.value.field == "checksum"
    for unknown in ("lnsb", "lnbcr", "lnt", "bc", "lnbcrtx", "ln"):
        refused(BASE, "prefix", hrp=unknown)


def test_longest_invoice_and_one_more() -> None:
    """The limit bounds what a pasted text can cost."""
    fitting = [(2, bytes(1023))] * 6
    text = invoice_of([*BASE, *fitting])
    room = MAX_INVOICE_CHARACTERS - len(text) - 3
    longest = invoice_of([*BASE, *fitting, (2, bytes(room))])
    assert len(longest) == MAX_INVOICE_CHARACTERS
    assert len(decode(longest).unknown_tags) == 7
    with pytest.raises(ValueError, match="7089"):
        invoice_of([*BASE, *fitting, (2, bytes(room + 1))])
    with pytest.raises(DecodeError, match="7089"):
        decode(longest + "q")


def changed(**fields: object) -> Bolt11Invoice:
    base = decode(invoice_of(BASE))
    return Bolt11Invoice(**{f: getattr(base, f) for f in base.__struct_fields__} | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"description": None},
        {"description_hash": bytes(32)},
        {"payment_hash": bytes(31)},
        {"payment_secret": bytes(33)},
        {"timestamp": 1 << 35},
        {"timestamp": -1},
        {"expiry_seconds": -1},
        {"expiry_seconds": 1 << 60},
        {"min_final_cltv_expiry_delta": 500_000_000},
        {"amount_msat": 0},
        {"amount_msat": -5},
        {"description": "x" * 640},
        {"payee_node_id": public_key(b"\x01" * 32)},
        {"fallback_script_pubkeys": (b"\x6a",)},
        {"route_hints": ((),)},
    ],
    ids=repr,
)
def test_invoice_that_could_not_be_decoded_is_not_encoded(fields: dict[str, object]) -> None:
    """A shop must learn of its mistake before the customer does."""
    with pytest.raises(ValueError, match=r".+"):
        encode(changed(**fields), sign)


hops = st.builds(
    RouteHintHop,
    st.just(NODE_ID),
    st.integers(0, 2**64 - 1),
    *[st.integers(0, 2**32 - 1)] * 2,
    st.integers(0, 2**16 - 1),
)
witness_outputs = st.one_of(
    st.binary(min_size=20, max_size=20).flatmap(lambda h: st.sampled_from([p2pkh(h), p2sh(h), b"\x00\x14" + h])),
    st.tuples(st.integers(1, 16), st.binary(min_size=2, max_size=40)).map(
        lambda p: bytes((0x50 + p[0], len(p[1]))) + p[1]
    ),
)
hashes = st.binary(min_size=32, max_size=32)
descriptions = st.one_of(
    st.text(max_size=100).map(lambda text: {"description": text}), hashes.map(lambda h: {"description_hash": h})
)


@st.composite
def invoices(draw: st.DrawFn) -> Bolt11Invoice:
    bits = draw(st.lists(st.integers(9, 150), max_size=4, unique=True))
    bitmap = sum(2 << 2 * bit for bit in bits)
    return Bolt11Invoice(
        network=draw(st.sampled_from(NETWORKS)),
        amount_msat=draw(st.one_of(st.none(), st.integers(1, 21_000_000 * 10**11))),
        timestamp=draw(st.integers(0, 2**35 - 1)),
        payment_hash=draw(hashes),
        payment_secret=draw(hashes),
        expiry_seconds=draw(st.integers(0, 2**40)),
        min_final_cltv_expiry_delta=draw(st.integers(0, 499_999_999)),
        payee_node_id=NODE_ID,
        route_hints=tuple(draw(st.lists(st.lists(hops, min_size=1, max_size=3).map(tuple), max_size=2))),
        fallback_script_pubkeys=tuple(draw(st.lists(witness_outputs, max_size=2))),
        features=bitmap.to_bytes((bitmap.bit_length() + 7) // 8, "big"),
        payment_metadata=draw(st.one_of(st.none(), st.binary(max_size=100))),
        **draw(descriptions),
    )


@given(invoices())
def test_any_invoice_survives_encoding(invoice: Bolt11Invoice) -> None:
    """Encoding and decoding are inverses over every field."""
    text = encode(invoice, sign)
    assert decode(text) == invoice
    assert parse_prefix(text[: text.rindex("1")]) == (invoice.network, invoice.amount_msat)


@given(st.one_of(st.text(max_size=60), st.text("qpzry9x8gf2tvdw0s3jn54khce6mua7l", max_size=200).map("lnbc1".__add__)))
def test_any_text_raises_nothing_but_decode_error(text: str) -> None:
    """Invoices are pasted by people and sent by strangers."""
    with contextlib.suppress(DecodeError):
        decode(text)


@given(st.binary(min_size=104, max_size=400), st.sampled_from(["lnbc", "lntb20m", "lnbcrt1p", "lnx"]))
def test_any_symbols_under_a_good_checksum_raise_nothing_but_decode_error(raw: bytes, hrp: str) -> None:
    """Random text hardly ever has a good checksum, so the fields behind it are reached only this way."""
    with contextlib.suppress(DecodeError):
        decode(bech32.encode(hrp, bytes(b & 31 for b in raw), bech32.BECH32_CONST))


tag_runs = st.lists(
    st.tuples(
        st.sampled_from([1, 3, 5, 6, 9, 13, 16, 19, 23, 24, 27, 2, 30]),
        st.one_of(
            st.binary(max_size=60), st.sampled_from([52, 53, 82]).flatmap(lambda n: st.binary(min_size=n, max_size=n))
        ),
    ),
    max_size=6,
)


@given(tag_runs)
def test_any_signed_fields_raise_nothing_but_decode_error(tags: list[tuple[int, bytes]]) -> None:
    """Well-signed nonsense is what an attacker sends; what is accepted must be statable again."""
    run = [(tag, bytes(b & 31 for b in data)) for tag, data in tags]
    try:
        invoice = decode(invoice_of([P, S, D, *run]))
    except DecodeError:
        return
    assert invoice.network is MAINNET
    assert decode(encode(invoice, sign)) == invoice
