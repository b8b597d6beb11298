"""Network constants: the wrong one sends money to the wrong chain."""

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.block import BlockHeader
from leyden.bitcoin.networks import MAINNET, NETWORKS, by_chain_hash, by_name
from leyden.bitcoin.tx import txid_to_hex

GENESIS = {
    "mainnet": "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    "testnet": "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
    "signet": "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
    "regtest": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_genesis_block_has_the_known_hash_and_work(network: object) -> None:
    """chain_hash goes into every open_channel; all four genesis hashes are public knowledge."""
    found = by_name(network.name)  # type: ignore[attr-defined]
    header = BlockHeader.parse(found.genesis_header)
    assert txid_to_hex(header.hash()) == txid_to_hex(found.chain_hash) == GENESIS[found.name]
    assert header.meets_target()
    assert by_chain_hash(found.chain_hash) is found


def test_mainnet_chain_hash_is_the_one_printed_in_bolt_0() -> None:
    """BOLT messages carry it in internal order."""
    assert MAINNET.chain_hash.hex() == "6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000"


def test_unknown_network_is_refused_with_the_known_ones() -> None:
    """The name comes from a configuration file."""
    with pytest.raises(CommandRejected, match="use one of mainnet, testnet, signet, regtest") as error:
        by_name("main")
    assert error.value.code == "unknown_network"
    assert by_chain_hash(bytes(32)) is None
