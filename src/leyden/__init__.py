"""A modular Bitcoin Lightning library and node.

    async with leyden.Node(leyden.NodeConfig(data_dir="shop")) as node:
        invoice = await node.create_invoice(10_000_000, "coffee")

The names below are the public ones. Each is imported when it is first used, so `import leyden` costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

if not __debug__:
    raise RuntimeError(
        "leyden does not run under python -O: its assertions guard money; start it without -O and PYTHONOPTIMIZE"
    )

if TYPE_CHECKING:
    from leyden.api.client import async_control, blocking_control
    from leyden.base.errors import (
        ChainUnavailable,
        CommandRejected,
        DriverError,
        LeydenError,
        StorageBroken,
        StorageFailed,
        StorageFenced,
        StorageUnavailable,
    )
    from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
    from leyden.drivers.storage.sqlite import SqliteStore
    from leyden.manager.events import (
        ChannelClosed,
        ChannelDataLoss,
        ChannelReady,
        Event,
        OpenRefused,
        PaymentClaimAbandoned,
        PaymentClaimable,
        PaymentClaimed,
        PaymentFailed,
        PaymentForwarded,
        PaymentSent,
        SpendableOutputs,
        StoreBehind,
        StoreRecovered,
    )
    from leyden.node.control import NodeControl
    from leyden.node.embedded_chain import EmbeddedChain
    from leyden.node.node import EventHandle, Node
    from leyden.node.settings import (
        BitcoindSettings,
        ChannelSettings,
        ForwardingSettings,
        LogSettings,
        NodeConfig,
        PaymentSettings,
        StoreSettings,
        WatchtowerSettings,
    )
    from leyden.node.views import ChannelView, InvoiceView, NodeInfo, PaymentView
    from leyden.ports.chain import ChainSource
    from leyden.ports.store import Append, Appended, Completion, Snapshot, Store, StoredJournal

_HOMES = {
    "leyden.api.client": ("async_control", "blocking_control"),
    "leyden.base.errors": (
        "ChainUnavailable",
        "CommandRejected",
        "DriverError",
        "LeydenError",
        "StorageBroken",
        "StorageFailed",
        "StorageFenced",
        "StorageUnavailable",
    ),
    "leyden.drivers.storage.memory": ("MemoryDisk", "MemoryStore"),
    "leyden.drivers.storage.sqlite": ("SqliteStore",),
    "leyden.manager.events": (
        "ChannelClosed",
        "ChannelDataLoss",
        "ChannelReady",
        "Event",
        "OpenRefused",
        "PaymentClaimAbandoned",
        "PaymentClaimable",
        "PaymentClaimed",
        "PaymentFailed",
        "PaymentForwarded",
        "PaymentSent",
        "SpendableOutputs",
        "StoreBehind",
        "StoreRecovered",
    ),
    "leyden.node.control": ("NodeControl",),
    "leyden.node.embedded_chain": ("EmbeddedChain",),
    "leyden.node.node": ("EventHandle", "Node"),
    "leyden.node.settings": (
        "BitcoindSettings",
        "ChannelSettings",
        "ForwardingSettings",
        "LogSettings",
        "NodeConfig",
        "PaymentSettings",
        "StoreSettings",
        "WatchtowerSettings",
    ),
    "leyden.node.views": ("ChannelView", "InvoiceView", "NodeInfo", "PaymentView"),
    "leyden.ports.chain": ("ChainSource",),
    "leyden.ports.store": ("Append", "Appended", "Completion", "Snapshot", "Store", "StoredJournal"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Append",
    "Appended",
    "BitcoindSettings",
    "ChainSource",
    "ChainUnavailable",
    "ChannelClosed",
    "ChannelDataLoss",
    "ChannelReady",
    "ChannelSettings",
    "ChannelView",
    "CommandRejected",
    "Completion",
    "DriverError",
    "EmbeddedChain",
    "Event",
    "EventHandle",
    "ForwardingSettings",
    "InvoiceView",
    "LeydenError",
    "LogSettings",
    "MemoryDisk",
    "MemoryStore",
    "Node",
    "NodeConfig",
    "NodeControl",
    "NodeInfo",
    "OpenRefused",
    "PaymentClaimAbandoned",
    "PaymentClaimable",
    "PaymentClaimed",
    "PaymentFailed",
    "PaymentForwarded",
    "PaymentSent",
    "PaymentSettings",
    "PaymentView",
    "Snapshot",
    "SpendableOutputs",
    "SqliteStore",
    "StorageBroken",
    "StorageFailed",
    "StorageFenced",
    "StorageUnavailable",
    "Store",
    "StoreBehind",
    "StoreRecovered",
    "StoreSettings",
    "StoredJournal",
    "WatchtowerSettings",
    "async_control",
    "blocking_control",
]


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives, once."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'leyden' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted([*globals(), *_HOME_OF])
