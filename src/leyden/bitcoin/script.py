"""Scripts: opcodes, pushes, the standard output scripts and their recognition."""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from leyden.base.errors import DecodeError
from leyden.crypto.hashes import hash160, sha256

OP_0 = 0x00
OP_PUSHDATA1 = 0x4C
OP_PUSHDATA2 = 0x4D
OP_PUSHDATA4 = 0x4E
OP_1NEGATE = 0x4F
OP_1 = 0x51
OP_2 = 0x52
OP_16 = 0x60
OP_IF = 0x63
OP_NOTIF = 0x64
OP_ELSE = 0x67
OP_ENDIF = 0x68
OP_VERIFY = 0x69
OP_RETURN = 0x6A
OP_IFDUP = 0x73
OP_DROP = 0x75
OP_DUP = 0x76
OP_SWAP = 0x7C
OP_SIZE = 0x82
OP_EQUAL = 0x87
OP_EQUALVERIFY = 0x88
OP_ADD = 0x93
OP_RIPEMD160 = 0xA6
OP_SHA256 = 0xA8
OP_HASH160 = 0xA9
OP_HASH256 = 0xAA
OP_CODESEPARATOR = 0xAB
OP_CHECKSIG = 0xAC
OP_CHECKSIGVERIFY = 0xAD
OP_CHECKMULTISIG = 0xAE
OP_CHECKMULTISIGVERIFY = 0xAF
OP_CHECKLOCKTIMEVERIFY = 0xB1
OP_CHECKSEQUENCEVERIFY = 0xB2
OP_CHECKSIGADD = 0xBA

P2A_SCRIPT = b"\x51\x02\x4e\x73"
"""Pay-to-anchor: anyone may spend it."""

_DIRECT_PUSHES = tuple(bytes((n,)) for n in range(OP_PUSHDATA1))


class ScriptType(Enum):
    """The kinds of output script that Leyden tells apart."""

    P2PK = "p2pk"
    P2PKH = "p2pkh"
    P2SH = "p2sh"
    P2WPKH = "p2wpkh"
    P2WSH = "p2wsh"
    P2TR = "p2tr"
    P2A = "p2a"
    UNKNOWN_WITNESS = "unknown_witness"
    NULL_DATA = "null_data"
    NON_STANDARD = "non_standard"


def push_data(data: bytes) -> bytes:
    """Return the script that pushes `data` with the shortest length prefix.

    Data that has an opcode of its own (empty, 1 to 16, -1) is still pushed as data, except the empty string (OP_0);
    use `push_int` for numbers.
    """
    n = len(data)
    if n < OP_PUSHDATA1:
        return _DIRECT_PUSHES[n] + data
    if n <= 0xFF:
        return b"\x4c" + n.to_bytes(1, "little") + data
    if n <= 0xFFFF:
        return b"\x4d" + n.to_bytes(2, "little") + data
    return b"\x4e" + n.to_bytes(4, "little") + data


def script_num(n: int) -> bytes:
    """Return the bytes of a script number: little-endian, sign in the top bit, shortest; zero is empty."""
    if n == 0:
        return b""
    magnitude = -n if n < 0 else n
    raw = magnitude.to_bytes(magnitude.bit_length() // 8 + 1, "little")
    return raw[:-1] + bytes((raw[-1] | 0x80,)) if n < 0 else raw


def parse_script_num(raw: bytes, max_length: int) -> int:
    """Return the number that `raw` encodes.

    Raises:
        DecodeError: longer than `max_length` bytes, or not the shortest encoding.
    """
    if len(raw) > max_length:
        raise DecodeError("script number is too long", field="script_num")
    if not raw:
        return 0
    if raw[-1] & 0x7F == 0 and (len(raw) == 1 or raw[-2] & 0x80 == 0):
        raise DecodeError("script number is not minimal", field="script_num")
    magnitude = int.from_bytes(raw[:-1] + bytes((raw[-1] & 0x7F,)), "little")
    return -magnitude if raw[-1] & 0x80 else magnitude


def push_int(n: int) -> bytes:
    """Return the shortest script that pushes the number `n` (an opcode for -1 to 16)."""
    if n == 0:
        return b"\x00"
    if 1 <= n <= 16 or n == -1:
        return bytes((OP_1 - 1 + n,))
    return push_data(script_num(n))


def operations(script: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Yield the operations of a script: the opcode, and the pushed data for a push (None for other opcodes).

    Raises:
        DecodeError: a push runs past the end.
    """
    offset, end = 0, len(script)
    while offset < end:
        opcode = script[offset]
        offset += 1
        if opcode > OP_PUSHDATA4:
            yield opcode, None
            continue
        n = opcode
        if opcode >= OP_PUSHDATA1:
            width = 1 << (opcode - OP_PUSHDATA1)
            n = int.from_bytes(script[offset : offset + width], "little")
            if offset + width > end:
                raise DecodeError("script ends inside a push length", offset=offset, field="script")
            offset += width
        if offset + n > end:
            raise DecodeError("script ends inside a push", offset=offset, field="script")
        yield opcode, script[offset : offset + n]
        offset += n


def p2pkh(pubkey_hash: bytes) -> bytes:
    """Return the P2PKH script of a 20-byte key hash."""
    return b"\x76\xa9\x14" + pubkey_hash + b"\x88\xac"


def p2sh(script_hash: bytes) -> bytes:
    """Return the P2SH script of a 20-byte script hash (BIP 16)."""
    return b"\xa9\x14" + script_hash + b"\x87"


def p2wpkh(pubkey_hash: bytes) -> bytes:
    """Return the P2WPKH script of a 20-byte key hash (BIP 141)."""
    return b"\x00\x14" + pubkey_hash


def p2wsh(script_hash: bytes) -> bytes:
    """Return the P2WSH script of a 32-byte SHA-256 of the witness script (BIP 141)."""
    return b"\x00\x20" + script_hash


def p2tr(output_key: bytes) -> bytes:
    """Return the P2TR script of a 32-byte x-only output key (BIP 341)."""
    return b"\x51\x20" + output_key


def p2wpkh_of_key(public_key: bytes) -> bytes:
    """Return the P2WPKH script that pays to a 33-byte public key."""
    return b"\x00\x14" + hash160(public_key)


def p2wsh_of_script(witness_script: bytes) -> bytes:
    """Return the P2WSH script that pays to a witness script."""
    return b"\x00\x20" + sha256(witness_script)


def p2sh_of_script(redeem_script: bytes) -> bytes:
    """Return the P2SH script that pays to a redeem script."""
    return p2sh(hash160(redeem_script))


def p2wpkh_script_code(pubkey_hash: bytes) -> bytes:
    """Return the script code that a P2WPKH signature commits to, for a 20-byte key hash (BIP 143)."""
    return p2pkh(pubkey_hash)


def null_data(data: bytes) -> bytes:
    """Return an OP_RETURN script that carries `data` in one push."""
    return b"\x6a" + push_data(data)


def multisig(threshold: int, public_keys: Sequence[bytes]) -> bytes:
    """Return the bare `threshold`-of-n multisig script of 33-byte keys, in the order given (1 to 16 keys)."""
    keys = b"".join(b"\x21" + key for key in public_keys)
    return push_int(threshold) + keys + push_int(len(public_keys)) + b"\xae"


def sort_public_keys(public_keys: Iterable[bytes]) -> list[bytes]:
    """Return compressed keys in the lexicographical order that BIP 67 prescribes for multisig scripts."""
    return sorted(public_keys)


def witness_program(script: bytes) -> tuple[int, bytes] | None:
    """Return the version (0 to 16) and the program (2 to 40 bytes) of a witness output script, or None (BIP 141)."""
    n = len(script)
    if n < 4 or n > 42 or script[1] != n - 2:
        return None
    first = script[0]
    if first == OP_0:
        return 0, script[2:]
    if OP_1 <= first <= OP_16:
        return first - OP_1 + 1, script[2:]
    return None


def classify(script: bytes) -> ScriptType:
    """Tell what kind of output script this is; never raises."""
    program = witness_program(script)
    if program is not None:
        return _classify_witness(script, *program)
    n = len(script)
    if n == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return ScriptType.P2PKH
    if n == 23 and script[:2] == b"\xa9\x14" and script[22] == OP_EQUAL:
        return ScriptType.P2SH
    if script[:1] == b"\x6a" and is_push_only(script[1:]):
        return ScriptType.NULL_DATA
    if n in {35, 67} and script[0] == n - 2 and script[-1] == OP_CHECKSIG:
        return ScriptType.P2PK
    return ScriptType.NON_STANDARD


def _classify_witness(script: bytes, version: int, program: bytes) -> ScriptType:
    n = len(program)
    if version == 0:
        # Version 0 knows two lengths; any other can never be spent (BIP 141).
        return {20: ScriptType.P2WPKH, 32: ScriptType.P2WSH}.get(n, ScriptType.NON_STANDARD)
    if version == 1 and n == 32:
        return ScriptType.P2TR
    return ScriptType.P2A if script == P2A_SCRIPT else ScriptType.UNKNOWN_WITNESS


def is_push_only(script: bytes) -> bool:
    """Tell whether a script consists of pushes only (opcodes up to OP_16); never raises."""
    try:
        return all(opcode <= OP_16 for opcode, _ in operations(script))
    except DecodeError:
        return False
