"""Addresses: the text forms of output scripts (BIP 173, BIP 350; base58 for P2PKH and P2SH)."""

from leyden.base.errors import DecodeError
from leyden.bitcoin import base58, bech32
from leyden.bitcoin.networks import Network
from leyden.bitcoin.script import OP_1, ScriptType, classify, p2pkh, p2sh, witness_program

_BASE58_MAX_LENGTH = 35


def decode_segwit(hrp: str, text: str) -> tuple[int, bytes]:
    """Return the witness version (0 to 16) and program (2 to 40 bytes) of a segwit address with this prefix.

    Raises:
        DecodeError: malformed, other prefix, wrong checksum kind for the version, or a length that the version
            forbids (BIP 173, BIP 350).
    """
    found, symbols, constant = bech32.decode(text)
    if found != hrp:
        raise DecodeError(f"address starts with {found!r}, this network uses {hrp!r}", offset=0, field="hrp")
    if not symbols or symbols[0] > 16:
        raise DecodeError("no such witness version", offset=len(found) + 1, field="witness_version")
    version, program = symbols[0], bech32.bytes_of(symbols[1:])
    if not 2 <= len(program) <= 40 or (version == 0 and len(program) not in (20, 32)):
        raise DecodeError(f"a witness program of {len(program)} bytes is not allowed", field="witness_program")
    if constant != (bech32.BECH32M_CONST if version else bech32.BECH32_CONST):
        raise DecodeError("checksum of the other bech32 kind", field="checksum")
    return version, program


def encode_segwit(hrp: str, version: int, program: bytes) -> str:
    """Return the segwit address of a witness version (0 to 16) and program (2 to 40 bytes)."""
    constant = bech32.BECH32M_CONST if version else bech32.BECH32_CONST
    return bech32.encode(hrp, bytes((version,)) + bech32.symbols_from(program), constant)


def witness_script_pubkey(version: int, program: bytes) -> bytes:
    """Return the output script of a witness version (0 to 16) and program (2 to 40 bytes)."""
    return bytes((OP_1 - 1 + version if version else 0, len(program))) + program


def decode_address(text: str, network: Network) -> bytes:
    """Return the output script that an address of `network` stands for.

    Raises:
        DecodeError: malformed, or of another network.
    """
    if text[: len(network.bech32_hrp) + 1].lower() == network.bech32_hrp + "1":
        return witness_script_pubkey(*decode_segwit(network.bech32_hrp, text))
    if len(text) > _BASE58_MAX_LENGTH:
        # Base58 addresses are shorter; let bech32 say what is wrong, for instance the network.
        return witness_script_pubkey(*decode_segwit(network.bech32_hrp, text))
    payload = base58.decode_check(text)
    if len(payload) != 21:
        raise DecodeError("an address carries 20 bytes of hash", field="address")
    if payload[0] == network.p2pkh_version:
        return p2pkh(payload[1:])
    if payload[0] == network.p2sh_version:
        return p2sh(payload[1:])
    raise DecodeError(f"not an address of {network.name}", offset=0, field="address")


def encode_address(script_pubkey: bytes, network: Network) -> str | None:
    """Return the address of an output script on `network`, or None for a script that has none."""
    program = witness_program(script_pubkey)
    kind = classify(script_pubkey)
    if program is not None:
        return None if kind is ScriptType.NON_STANDARD else encode_segwit(network.bech32_hrp, *program)
    if kind is ScriptType.P2PKH:
        return base58.encode_check(bytes((network.p2pkh_version,)) + script_pubkey[3:23])
    if kind is ScriptType.P2SH:
        return base58.encode_check(bytes((network.p2sh_version,)) + script_pubkey[2:22])
    return None
