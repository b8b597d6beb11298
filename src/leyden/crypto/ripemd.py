"""RIPEMD-160 in plain Python, for an OpenSSL without it. Slow (about 0.1 ms a block): only addresses and tests."""

from typing import Final

_MASK: Final = 0xFFFFFFFF
_START: Final = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_ADD_LEFT: Final = (0x00000000, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)
_ADD_RIGHT: Final = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0x00000000)
_RHO: Final = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)
# Shift by message word and round, as the definition tabulates them.
_SHIFTS: Final = (
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7),
    (13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9),
    (14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6),
    (15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5),
)


def _orders() -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    left = tuple(range(16))
    right = tuple((9 * index + 5) % 16 for index in range(16))
    lefts: list[tuple[int, ...]] = []
    rights: list[tuple[int, ...]] = []
    for _ in range(5):
        lefts.append(left)
        rights.append(right)
        left = tuple(_RHO[index] for index in left)
        right = tuple(_RHO[index] for index in right)
    return tuple(lefts), tuple(rights)


_LEFT, _RIGHT = _orders()


def _mix(kind: int, x: int, y: int, z: int) -> int:
    if kind == 0:
        return x ^ y ^ z
    if kind == 1:
        return (x & y) | (~x & _MASK & z)
    if kind == 2:
        return (x | (~y & _MASK)) ^ z
    if kind == 3:
        return (x & z) | (y & ~z & _MASK)
    return x ^ (y | (~z & _MASK))


def _rotate(value: int, by: int) -> int:
    value &= _MASK
    return (value << by | value >> (32 - by)) & _MASK


def _line(state: tuple[int, ...], words: list[int], *, is_left: bool) -> tuple[int, ...]:
    a, b, c, d, e = state
    for turn in range(5):
        kind = turn if is_left else 4 - turn
        constant = (_ADD_LEFT if is_left else _ADD_RIGHT)[turn]
        for index in (_LEFT if is_left else _RIGHT)[turn]:
            mixed = a + _mix(kind, b, c, d) + words[index] + constant
            a, b, c, d, e = e, (_rotate(mixed, _SHIFTS[turn][index]) + e) & _MASK, b, _rotate(c, 10), d
    return a, b, c, d, e


def ripemd160_pure(data: bytes) -> bytes:
    """Return the RIPEMD-160 (20 bytes) of `data`."""
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + (8 * len(data)).to_bytes(8, "little")
    state: tuple[int, ...] = _START
    for start in range(0, len(padded), 64):
        words = [int.from_bytes(padded[at : at + 4], "little") for at in range(start, start + 64, 4)]
        a, b, c, d, e = _line(state, words, is_left=True)
        v, w, x, y, z = _line(state, words, is_left=False)
        sums = (state[1] + c + y, state[2] + d + z, state[3] + e + v, state[4] + a + w, state[0] + b + x)
        state = tuple(value & _MASK for value in sums)
    return b"".join(value.to_bytes(4, "little") for value in state)
