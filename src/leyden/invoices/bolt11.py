"""BOLT 11 invoices: `decode` and `encode`.

The whole data part is read as one number in base 32 (see `bitcoin.bech32`), fields are slices of its digits: no loop
over characters, so that the signature is most of the cost.
"""

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, Final

from leyden.base.errors import DecodeError
from leyden.bitcoin import bech32
from leyden.bitcoin.address import witness_script_pubkey
from leyden.bitcoin.script import p2pkh, p2sh, witness_program
from leyden.crypto.ec import is_valid_point, recover, verify_ecdsa
from leyden.crypto.hashes import sha256
from leyden.invoices.fields import DEFAULT_EXPIRY_SECONDS, Bolt11Invoice, RouteHintHop
from leyden.invoices.prefix import format_prefix, parse_prefix
from leyden.wire.features import Feature, FeatureVector

__all__ = ["Bolt11Invoice", "RouteHintHop", "decode", "encode", "encode_tags"]

MAX_INVOICE_CHARACTERS: Final = 7089
"""Longest invoice accepted: the most digits that one QR code holds."""

UNDERSTOOD_FEATURES: Final = FeatureVector.of(
    mandatory=(
        Feature.VAR_ONION_OPTIN,
        Feature.PAYMENT_SECRET,
        Feature.BASIC_MPP,
        Feature.OPTION_PAYMENT_METADATA,
        Feature.OPTION_ATTRIBUTION_DATA,
    ),
    optional=(),
)
"""An invoice that requires anything else cannot be paid by this version, so it does not decode."""

_EVEN_BITS: Final = int.from_bytes(b"\x55" * 640, "big")
_REFUSED_FEATURES: Final = _EVEN_BITS & ~UNDERSTOOD_FEATURES.bitmap
_MPP_BITS: Final = Feature.BASIC_MPP.mandatory_mask | Feature.BASIC_MPP.optional_mask
_SECRET_BITS: Final = Feature.PAYMENT_SECRET.mandatory_mask | Feature.PAYMENT_SECRET.optional_mask

# Tags by their 5-bit value. BOLT 11, "Tagged Fields".
_TAG_P, _TAG_R, _TAG_9, _TAG_X, _TAG_F = 1, 3, 5, 6, 9
_TAG_D, _TAG_S, _TAG_N, _TAG_H, _TAG_C, _TAG_M = 13, 16, 19, 23, 24, 27

_HASH_SYMBOLS = 52
_KEY_SYMBOLS = 53
_TIMESTAMP_SYMBOLS = 7
_SIGNATURE_SYMBOLS = 104
_FALLBACK_P2PKH = 17
_FALLBACK_P2SH = 18
# No real invoice asks for more; a payer adds both to other numbers and stores them.
_EXPIRY_SECONDS_MAX = 1 << 48
_CLTV_EXPIRY_DELTA_MAX = 500_000_000

_HOP = Struct(">33sQIIH")


def decode(text: str) -> Bolt11Invoice:
    """Decode an invoice and check its signature. Expiry is the caller's to check: see `Bolt11Invoice.is_expired`.

    Args:
        text: the whole invoice, all lower or all upper case, without `lightning:` or blanks.

    Raises:
        DecodeError: anything a payer must refuse (BOLT 11, "Requirements"): bad bech32, unknown network, bad amount,
            no or several payment hashes or secrets, not exactly one description, a fixed-length field of another
            length, unknown required feature, missing feature dependency, bad signature. `field` names the field.
    """
    hrp, digits, constant = bech32.split(text, max_length=MAX_INVOICE_CHARACTERS)
    if constant != bech32.BECH32_CONST:
        raise DecodeError("checksum does not match", offset=len(text) - 6, field="checksum")
    network, amount_msat = parse_prefix(hrp)
    signed_symbols = len(digits) - _SIGNATURE_SYMBOLS
    if signed_symbols < _TIMESTAMP_SYMBOLS:
        raise DecodeError("too short for timestamp and signature", offset=len(hrp) + 1, field="signature")
    signed = digits[:signed_symbols]
    found = _read_fields(signed, len(hrp) + 1)
    stated_payee: bytes | None = found.pop("payee_node_id", None)
    if "payment_hash" not in found or "payment_secret" not in found:
        missing = "p" if "payment_hash" not in found else "s"
        raise DecodeError("the invoice has no payment hash or no payment secret", field=missing)
    if ("description" in found) == ("description_hash" in found):
        raise DecodeError("needs either a description or the hash of one", field="d")
    padding = -5 * signed_symbols % 8
    signed_number = int(signed, 32) << padding
    digest = sha256(hrp.encode("ascii") + signed_number.to_bytes((5 * signed_symbols + padding) >> 3, "big"))
    return Bolt11Invoice(
        network=network,
        amount_msat=amount_msat,
        timestamp=int(signed[:_TIMESTAMP_SYMBOLS], 32),
        payee_node_id=_check_signature(digits[signed_symbols:], digest, stated_payee),
        **found,
    )


def _check_signature(digits: bytes, digest: bytes, stated_payee: bytes | None) -> bytes:
    signature = int(digits, 32).to_bytes(65, "big")
    if signature[64] > 3:
        raise DecodeError("no such recovery id", field="signature")
    if stated_payee is not None:
        # `verify_ecdsa` refuses high S, as BOLT 11 demands when the key is stated.
        if not verify_ecdsa(stated_payee, digest, signature[:64]):
            raise DecodeError("the signature is not by the stated payee, or has a high S", field="signature")
        return stated_payee
    payee = recover(signature, digest)
    if payee is None:
        raise DecodeError("no key can be recovered from the signature", field="signature")
    return payee


def _read_fields(signed: bytes, text_offset: int) -> dict[str, Any]:
    """Return the tagged fields by the names of `Bolt11Invoice`; `text_offset` is where the data part starts."""
    symbols = bech32.symbols_of(signed)
    end = len(symbols)
    found: dict[str, Any] = {}
    hints: list[tuple[RouteHintHop, ...]] = []
    fallbacks: list[bytes] = []
    unknown: list[tuple[int, bytes]] = []
    position = _TIMESTAMP_SYMBOLS
    while position < end:
        start = position + 3
        if start > end:
            raise DecodeError("ends inside the head of a field", offset=text_offset + position)
        tag = symbols[position]
        stop = start + (symbols[position + 1] << 5 | symbols[position + 2])
        if stop > end:
            raise DecodeError("field runs into the signature", offset=text_offset + position)
        try:
            if tag in _SINGLE_FIELDS:
                _read_single(found, tag, signed[start:stop])
            elif tag == _TAG_R:
                hints.append(_read_route_hint(signed[start:stop]))
            elif tag != _TAG_F or not _read_fallback(fallbacks, symbols[start:stop]):
                unknown.append((tag, symbols[start:stop]))
        except DecodeError as error:
            error.offset = text_offset + position
            raise
        position = stop
    if hints:
        found["route_hints"] = tuple(hints)
    if fallbacks:
        found["fallback_script_pubkeys"] = tuple(fallbacks)
    if unknown:
        found["unknown_tags"] = tuple(unknown)
    return found


def _bytes_of(digits: bytes) -> bytes:
    """Return the whole bytes in a run of base-32 digits; bits left over are padding."""
    bits = 5 * len(digits)
    return (int(digits, 32) >> (bits & 7)).to_bytes(bits >> 3, "big") if digits else b""


def _read_hash(digits: bytes) -> bytes:
    if len(digits) != _HASH_SYMBOLS:
        raise DecodeError(f"has {len(digits)} symbols instead of 52")
    return (int(digits, 32) >> 4).to_bytes(32, "big")


def _read_key(digits: bytes) -> bytes:
    if len(digits) != _KEY_SYMBOLS:
        raise DecodeError(f"has {len(digits)} symbols instead of 53")
    key = (int(digits, 32) >> 1).to_bytes(33, "big")
    if not is_valid_point(key):
        raise DecodeError("not a public key")
    return key


def _read_description(digits: bytes) -> str:
    try:
        return _bytes_of(digits).decode()
    except UnicodeDecodeError:
        raise DecodeError("not UTF-8") from None


def _read_number(digits: bytes) -> int:
    if digits[:1] == b"0":
        raise DecodeError("has leading zeros")
    return int(digits, 32) if digits else 0


def _read_expiry(digits: bytes) -> int:
    seconds = _read_number(digits)
    if seconds > _EXPIRY_SECONDS_MAX:
        raise DecodeError("expires millions of years from now")
    return seconds


def _read_cltv_expiry_delta(digits: bytes) -> int:
    delta = _read_number(digits)
    if delta >= _CLTV_EXPIRY_DELTA_MAX:
        raise DecodeError("no payment can have such an expiry")
    return delta


def _read_features(digits: bytes) -> bytes:
    bitmap = _read_number(digits)
    refused = bitmap & _REFUSED_FEATURES
    if refused:
        raise DecodeError(f"requires feature {(refused & -refused).bit_length() - 1}, which is not supported")
    if bitmap & _MPP_BITS and not bitmap & _SECRET_BITS:
        raise DecodeError("basic_mpp is set without payment_secret")
    return bitmap.to_bytes((bitmap.bit_length() + 7) >> 3, "big")


_SINGLE_FIELDS: Final[dict[int, tuple[str, str, Callable[[bytes], object]]]] = {
    _TAG_P: ("p", "payment_hash", _read_hash),
    _TAG_S: ("s", "payment_secret", _read_hash),
    _TAG_D: ("d", "description", _read_description),
    _TAG_H: ("h", "description_hash", _read_hash),
    _TAG_X: ("x", "expiry_seconds", _read_expiry),
    _TAG_C: ("c", "min_final_cltv_expiry_delta", _read_cltv_expiry_delta),
    _TAG_9: ("9", "features", _read_features),
    _TAG_N: ("n", "payee_node_id", _read_key),
    _TAG_M: ("m", "payment_metadata", _bytes_of),
}
# A writer puts exactly one of these. Two payment hashes could make two readers pay for different goods.
_NEVER_TWICE = (_TAG_P, _TAG_S, _TAG_D, _TAG_H)


def _read_single(found: dict[str, Any], tag: int, digits: bytes) -> None:
    letter, name, read = _SINGLE_FIELDS[tag]
    try:
        value = read(digits)
    except DecodeError as error:
        error.field = letter
        raise
    if name not in found:
        found[name] = value
    elif tag in _NEVER_TWICE:
        raise DecodeError("given twice", field=letter)
    # Of other fields the first is the preferred one (BOLT 11, "Requirements").


def _read_route_hint(digits: bytes) -> tuple[RouteHintHop, ...]:
    raw = _bytes_of(digits)
    if not raw or len(raw) % _HOP.size:
        raise DecodeError("not a whole number of hops", field="r")
    hops = tuple([RouteHintHop(*values) for values in _HOP.iter_unpack(raw)])
    for hop in hops:
        if not is_valid_point(hop.node_id):
            raise DecodeError("not a public key", field="r")
    return hops


def _read_fallback(fallbacks: list[bytes], symbols: bytes) -> bool:
    """Append the script of a fallback address; tell whether its version is known."""
    if not symbols:
        raise DecodeError("empty", field="f")
    version = symbols[0]
    if version > _FALLBACK_P2SH:
        return False
    program = _bytes_of(bech32.digits_of(symbols[1:]))
    is_hash = version in (_FALLBACK_P2PKH, _FALLBACK_P2SH)
    lengths = (20,) if is_hash else (20, 32) if version == 0 else range(2, 41)
    if len(program) not in lengths:
        raise DecodeError(f"version {version} does not have {len(program)} bytes", field="f")
    if is_hash:
        fallbacks.append(p2pkh(program) if version == _FALLBACK_P2PKH else p2sh(program))
    else:
        fallbacks.append(witness_script_pubkey(version, program))
    return True


def encode(invoice: Bolt11Invoice, sign: Callable[[bytes], bytes]) -> str:
    """Encode and sign an invoice.

    The payee is left to be recovered from the signature, `features` loses leading zero bytes; otherwise `decode` gives
    the same value back.

    Args:
        sign: returns the 65-byte recoverable signature (64 bytes compact, low S, then the recovery id) of a 32-byte
            digest by the key of `invoice.payee_node_id`.

    Raises:
        ValueError: a field is out of range, both or neither of the descriptions are set, or the signature is by
            another key.
    """
    if (invoice.description is None) == (invoice.description_hash is None):
        raise ValueError("needs either a description or the hash of one")
    hrp = format_prefix(invoice.network, invoice.amount_msat)
    return encode_tags(hrp, invoice.timestamp, _tags_of(invoice), sign, invoice.payee_node_id)


def encode_tags(
    hrp: str,
    timestamp: int,
    tags: Iterable[tuple[int, bytes]],
    sign: Callable[[bytes], bytes],
    payee_node_id: bytes,
) -> str:
    """Sign and encode raw fields, which are not checked: `encode` is the function for invoices.

    Args:
        hrp: the whole prefix, lower case.
        tags: tag (0 to 31) and 5-bit symbols, one a byte, at most 1023.
        sign, payee_node_id: as for `encode`.

    Raises:
        ValueError: the timestamp has more than 35 bits, a field is too long, the invoice is, or the signature is by
            another key.
    """
    if not 0 <= timestamp < 1 << 35:
        raise ValueError("the timestamp has 35 bits")
    parts = [bytes([timestamp >> shift & 31 for shift in range(30, -1, -5)])]
    for tag, symbols in tags:
        if len(symbols) > 1023:
            raise ValueError("a field has at most 639 bytes")
        parts += (bytes((tag, len(symbols) >> 5, len(symbols) & 31)), symbols)
    signed = b"".join(parts)
    padding = -5 * len(signed) % 8
    number = int(bech32.digits_of(signed), 32) << padding
    digest = sha256(hrp.encode("ascii") + number.to_bytes((5 * len(signed) + padding) >> 3, "big"))
    signature = sign(digest)
    if len(signature) != 65 or recover(signature, digest) != payee_node_id:
        raise ValueError("the signature is not by the payee")
    text = bech32.join(hrp, bech32.digits_of(signed + bech32.symbols_from(signature)), bech32.BECH32_CONST)
    if len(text) > MAX_INVOICE_CHARACTERS:
        raise ValueError(f"the invoice would have more than {MAX_INVOICE_CHARACTERS} characters")
    return text


def _tags_of(invoice: Bolt11Invoice) -> list[tuple[int, bytes]]:
    symbols_from = bech32.symbols_from
    tags = [
        (_TAG_S, _hash_symbols(invoice.payment_secret)),
        (_TAG_P, _hash_symbols(invoice.payment_hash)),
    ]
    if invoice.description is not None:
        tags.append((_TAG_D, symbols_from(invoice.description.encode())))
    if invoice.description_hash is not None:
        tags.append((_TAG_H, _hash_symbols(invoice.description_hash)))
    if not 0 <= invoice.expiry_seconds <= _EXPIRY_SECONDS_MAX:
        raise ValueError("the expiry is out of range")
    if invoice.expiry_seconds != DEFAULT_EXPIRY_SECONDS:
        tags.append((_TAG_X, _number_symbols(invoice.expiry_seconds)))
    if not 0 <= invoice.min_final_cltv_expiry_delta < _CLTV_EXPIRY_DELTA_MAX:
        raise ValueError("the final expiry delta is out of range")
    # Always written, also when it is the default: payers of before 2021 would assume 9.
    tags.append((_TAG_C, _number_symbols(invoice.min_final_cltv_expiry_delta)))
    tags += [(_TAG_F, _fallback_symbols(script)) for script in invoice.fallback_script_pubkeys]
    tags += [(_TAG_R, _route_hint_symbols(hops)) for hops in invoice.route_hints]
    if invoice.payment_metadata is not None:
        tags.append((_TAG_M, symbols_from(invoice.payment_metadata)))
    bitmap = int.from_bytes(invoice.features, "big")
    if bitmap:
        tags.append((_TAG_9, _number_symbols(bitmap)))
    tags += invoice.unknown_tags
    return tags


def _hash_symbols(value: bytes) -> bytes:
    if len(value) != 32:
        raise ValueError("a hash or secret has 32 bytes")
    return bech32.symbols_from(value)


def _number_symbols(number: int) -> bytes:
    return bytes([number >> shift & 31 for shift in range((number.bit_length() + 4) // 5 * 5 - 5, -1, -5)])


def _fallback_symbols(script: bytes) -> bytes:
    program = witness_program(script)
    if program is not None:
        return bytes((program[0],)) + bech32.symbols_from(program[1])
    for version, hashed, build in ((_FALLBACK_P2PKH, script[3:23], p2pkh), (_FALLBACK_P2SH, script[2:22], p2sh)):
        if build(hashed) == script:
            return bytes((version,)) + bech32.symbols_from(hashed)
    raise ValueError("a fallback is P2PKH, P2SH or a witness output")


def _route_hint_symbols(hops: tuple[RouteHintHop, ...]) -> bytes:
    if not hops:
        raise ValueError("a route hint has at least one hop")
    packed = [
        _HOP.pack(
            hop.node_id,
            hop.short_channel_id,
            hop.fee_base_msat,
            hop.fee_proportional_millionths,
            hop.cltv_expiry_delta,
        )
        for hop in hops
    ]
    return bech32.symbols_from(b"".join(packed))
