"""RPC methods about the service itself and the network that it does not have."""

from typing import Final

from leyden.base.errors import DecodeError
from leyden.bitcoin.address import decode_address
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import witness_program
from leyden.regtest.backend import Backend
from leyden.regtest.rpc_errors import INVALID_PARAMETER, RpcError
from leyden.regtest.rpc_params import Method, Params
from leyden.regtest.views import Json, amount, script_view

VERSION: Final = 310_000
"""eclair wants at least this; lnd asks for 240000 and, by the text of the subversion, tells apart what came before
28. It is also the truth about the rules: the consensus library is Core 31."""
SUBVERSION: Final = "/Satoshi:31.0.0/"
PROTOCOL_VERSION: Final = 70_016


def get_network_info(backend: Backend, _: Params) -> object:
    """Version and relay fees; there are no peers."""
    return {
        "version": VERSION,
        "subversion": SUBVERSION,
        "protocolversion": PROTOCOL_VERSION,
        "localservices": "0000000000000409",
        "localservicesnames": ["NETWORK", "WITNESS", "NETWORK_LIMITED"],
        "localrelay": True,
        "timeoffset": 0,
        "networkactive": True,
        "connections": 0,
        "connections_in": 0,
        "connections_out": 0,
        "networks": [],
        "relayfee": amount(backend.settings.min_relay_feerate),
        "incrementalfee": amount(backend.settings.incremental_feerate),
        "localaddresses": [],
        "warnings": [],
    }


def _empty_list(_: Backend, __: Params) -> object:
    """No peers, no ZMQ, no node addresses."""
    return []


def get_connection_count(_: Backend, __: Params) -> object:
    """No peers."""
    return 0


def uptime(backend: Backend, _: Params) -> object:
    """Seconds since the start."""
    return max(backend.clock() - backend.started, 0)


def set_mock_time(backend: Backend, params: Params) -> object:
    """Set the time of blocks to come, in seconds since 1970; 0 lets it run again.

    The consensus library keeps its own clock: times more than two hours ahead of the real one make no valid block.
    """
    time = params.integer(0)
    if not 0 <= time < 1 << 32:
        raise RpcError(INVALID_PARAMETER, f"Mocktime cannot be negative or beyond 32 bits: {time}")
    backend.mock_time = time
    return None


def echo(_: Backend, params: Params) -> object:
    """The parameters."""
    values = [params.value(index) for index in range(10)]
    while values and values[-1] is None:
        values.pop()
    return values


def nothing(_: Backend, __: Params) -> object:
    """Null: there is no queue to wait for."""
    return None


def get_index_info(backend: Backend, params: Params) -> object:
    """The transaction index is always there."""
    name = params.optional_text(0, "txindex")
    return {"txindex": {"synced": True, "best_block_height": backend.chain.tree.height}} if name == "txindex" else {}


def validate_address(_: Backend, params: Params) -> object:
    """Whether an address is one of regtest."""
    text = params.text(0)
    try:
        script = decode_address(text, REGTEST)
    except DecodeError as error:
        return {"isvalid": False, "error_locations": [], "error": str(error)}
    program = witness_program(script)
    view: Json = {"isvalid": True, "address": text, "scriptPubKey": script.hex()}
    view["isscript"] = script_view(script)["type"] in {"scripthash", "witness_v0_scripthash", "witness_v1_taproot"}
    view["iswitness"] = program is not None
    if program is not None:
        view |= {"witness_version": program[0], "witness_program": program[1].hex()}
    return view


_TEN: Final = tuple(f"arg{index}" for index in range(10))

METHODS: Final = {
    "getnetworkinfo": Method((), 0, get_network_info),
    "getpeerinfo": Method((), 0, _empty_list),
    "getzmqnotifications": Method((), 0, _empty_list),
    "getnodeaddresses": Method(("count", "network"), 0, _empty_list),
    "getconnectioncount": Method((), 0, get_connection_count),
    "setmocktime": Method(("timestamp",), 1, set_mock_time),
    "uptime": Method((), 0, uptime),
    "echo": Method(_TEN, 0, echo),
    "echojson": Method(_TEN, 0, echo),
    "ping": Method((), 0, nothing),
    "syncwithvalidationinterfacequeue": Method((), 0, nothing),
    "getindexinfo": Method(("index_name",), 0, get_index_info),
    "validateaddress": Method(("address",), 1, validate_address),
}
