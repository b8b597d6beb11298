"""Hash functions against published values and against each other."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.crypto import hashes


@given(st.binary(max_size=300))
def test_compositions(data: bytes) -> None:
    """Txids, addresses and HMACs are these compositions and nothing else."""
    assert hashes.sha256(data) == hashlib.sha256(data).digest()
    assert hashes.sha256d(data) == hashes.sha256(hashes.sha256(data))
    assert hashes.hash160(data) == hashes.ripemd160(hashes.sha256(data))
    assert hashes.hmac_sha256(data, b"x") == hmac.new(data, b"x", "sha256").digest()


def test_tagged_hash_is_prefixed_twice() -> None:
    """BIP 340: without the tag twice a hash of one use could serve as one of another."""
    tag = hashlib.sha256(b"TapLeaf").digest()
    for _ in range(2):
        assert hashes.tagged_hash("TapLeaf", b"data") == hashlib.sha256(tag + tag + b"data").digest()


def test_ripemd160_works_without_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL 3 builds may lack RIPEMD-160; addresses still need it."""
    expected = bytes.fromhex("8eb208f7e05d987a9b044a8e98c6b087f15a0bfc")
    assert hashes.ripemd160(b"abc") == expected
    monkeypatch.setattr(hashes, "_OPENSSL_HAS_RIPEMD160", False)
    assert hashes.ripemd160(b"abc") == expected


def test_hkdf_rfc_5869() -> None:
    """RFC 5869, appendix A, cases 1 and 3: every transport key comes from this function."""
    assert hashes.hkdf_sha256(bytes(range(13)), b"\x0b" * 22, bytes(range(0xF0, 0xFA)), 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    assert hashes.hkdf_sha256(b"", b"\x0b" * 22, b"", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )
    assert hashes.hkdf_sha256(b"", b"", b"", 0) == b""
    with pytest.raises(ValueError, match="8160"):
        hashes.hkdf_sha256(b"", b"", b"", 8161)
