"""The Bitcoin networks and every constant that differs between them."""

import msgspec

from leyden.base.errors import CommandRejected
from leyden.crypto.hashes import sha256d


class Network(msgspec.Struct, frozen=True, gc=False):
    """The constants of one network.

    Attributes:
        name: `mainnet`, `testnet`, `signet` or `regtest`.
        rpc_name: what bitcoind calls it in `getblockchaininfo`.
        genesis_header: 80 bytes.
        chain_hash: 32 bytes, hash of the genesis block in internal order, as BOLT messages carry it.
        bolt11_prefix: human-readable prefix of invoices before the amount.
        magic: first 4 bytes of every message of the Bitcoin peer protocol.
        bip32_private, bip32_public: 4-byte version of extended keys.
        bip44_coin_type: second level of BIP 44 paths.
    """

    name: str
    rpc_name: str
    genesis_header: bytes
    chain_hash: bytes
    bech32_hrp: str
    bolt11_prefix: str
    p2pkh_version: int
    p2sh_version: int
    wif_version: int
    bip32_private: bytes
    bip32_public: bytes
    bip44_coin_type: int
    magic: bytes
    default_rpc_port: int


_GENESIS_MERKLE_ROOT = bytes.fromhex("3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a")


def _genesis_header(time: int, bits: int, nonce: int) -> bytes:
    tail = b"".join(n.to_bytes(4, "little") for n in (time, bits, nonce))
    return (1).to_bytes(4, "little") + bytes(32) + _GENESIS_MERKLE_ROOT + tail


_MAINNET_GENESIS = _genesis_header(1231006505, 0x1D00FFFF, 2083236893)
_TESTNET_GENESIS = _genesis_header(1296688602, 0x1D00FFFF, 414098458)
_SIGNET_GENESIS = _genesis_header(1598918400, 0x1E0377AE, 52613770)
_REGTEST_GENESIS = _genesis_header(1296688602, 0x207FFFFF, 2)

_XPRV, _XPUB = bytes.fromhex("0488ade4"), bytes.fromhex("0488b21e")
_TPRV, _TPUB = bytes.fromhex("04358394"), bytes.fromhex("043587cf")

MAINNET = Network(
    name="mainnet",
    rpc_name="main",
    genesis_header=_MAINNET_GENESIS,
    chain_hash=sha256d(_MAINNET_GENESIS),
    bech32_hrp="bc",
    bolt11_prefix="lnbc",
    p2pkh_version=0x00,
    p2sh_version=0x05,
    wif_version=0x80,
    bip32_private=_XPRV,
    bip32_public=_XPUB,
    bip44_coin_type=0,
    magic=bytes.fromhex("f9beb4d9"),
    default_rpc_port=8332,
)


def _test_network(
    name: str, rpc_name: str, genesis: bytes, bech32_hrp: str, bolt11_prefix: str, magic: str, default_rpc_port: int
) -> Network:
    return Network(
        name=name,
        rpc_name=rpc_name,
        genesis_header=genesis,
        chain_hash=sha256d(genesis),
        bech32_hrp=bech32_hrp,
        bolt11_prefix=bolt11_prefix,
        p2pkh_version=0x6F,
        p2sh_version=0xC4,
        wif_version=0xEF,
        bip32_private=_TPRV,
        bip32_public=_TPUB,
        bip44_coin_type=1,
        magic=bytes.fromhex(magic),
        default_rpc_port=default_rpc_port,
    )


TESTNET = _test_network("testnet", "test", _TESTNET_GENESIS, "tb", "lntb", "0b110907", 18332)
SIGNET = _test_network("signet", "signet", _SIGNET_GENESIS, "tb", "lntbs", "0a03cf40", 38332)
REGTEST = _test_network("regtest", "regtest", _REGTEST_GENESIS, "bcrt", "lnbcrt", "fabfb5da", 18443)

NETWORKS = (MAINNET, TESTNET, SIGNET, REGTEST)


def by_name(name: str) -> Network:
    """Return the network called `name`.

    Raises:
        CommandRejected: no such network (code `unknown_network`).
    """
    for network in NETWORKS:
        if network.name == name:
            return network
    known = ", ".join(network.name for network in NETWORKS)
    raise CommandRejected(f"unknown network {name!r}: use one of {known}", code="unknown_network")


def by_chain_hash(chain_hash: bytes) -> Network | None:
    """Return the network of a 32-byte BOLT chain_hash, or None."""
    for network in NETWORKS:
        if network.chain_hash == chain_hash:
            return network
    return None
