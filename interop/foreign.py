"""What a scenario may ask of a foreign node. A further peer is one file that implements `ForeignNode`.

Ids, hashes, keys and transactions are lower-case hexadecimal, txids in display order, a channel is named by its funding
outpoint `txid:index`. Every method may raise:

* `NotOffered`: the peer cannot do this at all; the cell of the matrix says so, with the reason.
* `PeerRefused`: the peer understood and said no; its words are kept.
* `PeerFailed`: the process is gone, does not answer, or answered nonsense.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec

from leyden.node.views import ChannelTypeName

PaymentStatus: TypeAlias = Literal["pending", "succeeded", "failed"]


class NotOffered(Exception):
    """The peer has no such thing. The text is the reason, with where in its behaviour it shows."""


class PeerRefused(Exception):
    """The peer said no; the text is what it said."""


class PeerFailed(Exception):
    """The peer's process or its answers failed."""


class ChainPlace(msgspec.Struct, frozen=True):
    """Where the chain service answers bitcoind's JSON-RPC on loopback."""

    port: int
    user: str
    password: str


class ForeignOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a foreign node is started with.

    store_delay_ms: every write of channel state becomes durable this much later; raises NotOffered at the start when
        the peer cannot do that. log_messages: its log shows every message, which costs time. fee_base_msat,
        fee_proportional_millionths, cltv_expiry_delta: of what it forwards. max_dust_htlc_exposure_msat: what it
        risks in HTLCs without an output; None: its own default, or more.
    """

    store_delay_ms: int = 0
    log_messages: bool = True
    max_dust_htlc_exposure_msat: int | None = None
    fee_base_msat: int = 1000
    fee_proportional_millionths: int = 100
    cltv_expiry_delta: int = 72


class ForeignInfo(msgspec.Struct, frozen=True):
    """Who a foreign node is and how far it has followed the chain."""

    node_id: str
    version: str
    block_height: int
    is_synced: bool


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A channel that the foreign node is to open. close_to: address of its upfront shutdown script."""

    node_id: str
    amount_sat: int
    push_msat: int = 0
    channel_type: ChannelTypeName = "anchors"
    announce: bool = False
    zero_conf: bool = False
    scid_alias: bool = False
    close_to: str | None = None


class ForeignChannel(msgspec.Struct, frozen=True):
    """An open or opening channel as the foreign node sees it.

    local_msat, remote_msat: rounded down to the node's `msat_step`; HTLCs and the commitment's fee are in neither.
    reserve_sat: what the foreign node itself must keep. short_channel_id: 0 until there is one.
    """

    funding_outpoint: str
    counterparty_node_id: str
    capacity_sat: int
    local_msat: int
    remote_msat: int
    is_usable: bool
    is_initiator: bool
    channel_type: str
    feerate_per_kw: int
    htlcs_pending: int
    reserve_sat: int
    short_channel_id: int


class ForeignHtlc(msgspec.Struct, frozen=True):
    """An HTLC that is pending in a channel of the foreign node.

    is_incoming: it was offered to the foreign node. amount_msat: rounded down to the node's `msat_step`. cltv_expiry: a
    block height.
    """

    payment_hash: str
    amount_msat: int
    cltv_expiry: int
    is_incoming: bool


class ForeignPayment(msgspec.Struct, frozen=True):
    """A payment that the foreign node makes.

    failure: BOLT 4's name in lower case (`incorrect_or_unknown_payment_details`), or the peer's own word when the
        failure did not come from the way (`no_route`). failure_hop: which hop of the route failed it, 0 the payer
        itself, 1 the first node after it; None when the peer does not say. earlier_failures: the names of what earlier
        attempts of it met, when the peer makes several and tells.
    """

    payment_hash: str
    status: PaymentStatus
    preimage: str = ""
    amount_msat: int = 0
    fee_msat: int = 0
    parts: int = 0
    failure: str = ""
    failure_hop: int | None = None
    earlier_failures: tuple[str, ...] = ()


class BulkPaid(msgspec.Struct, frozen=True):
    """What paying many invoices took. p50_ms, p99_ms: from the start of a payment to its end."""

    seconds: float
    failed: int
    p50_ms: float
    p99_ms: float

    @staticmethod
    def of(seconds: float, failed: int, latencies_ms: list[float]) -> "BulkPaid":
        """Make it from the latency of each payment; there is at least one."""
        latencies_ms.sort()
        count = len(latencies_ms)
        return BulkPaid(seconds, failed, latencies_ms[count // 2], latencies_ms[min(count - 1, count * 99 // 100)])


class HtlcLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Ways in which a payment of the foreign node is made. None: its own default."""

    fee_limit_msat: int | None = None
    max_parts: int | None = None
    final_cltv_expiry_delta: int | None = None
    outgoing_channels: tuple[str, ...] = ()
    timeout_seconds: int = 60


class CustomMessage(msgspec.Struct, frozen=True):
    """A message of a type outside the BOLTs. payload: bytes after the type."""

    node_id: str
    message_type: int
    payload: bytes


class ForeignNode(Protocol):
    """One process of a foreign implementation with its own data directory and on-chain wallet."""

    @property
    def kind(self) -> str:
        """Short name of the implementation: `lnd`, `ldk`. The matrix and `PEER=` use it."""
        ...

    @property
    def name(self) -> str:
        """Name of this node, unique in a world; its folder and its log are named so."""
        ...

    @property
    def pid(self) -> int:
        """The process, 0 when it does not run."""
        ...

    @property
    def log_paths(self) -> tuple[Path, ...]:
        """The logs to keep when a scenario fails."""
        ...

    @property
    def msat_step(self) -> int:
        """The unit in which it tells balances: 1, or 1000 when it rounds to satoshis."""
        ...

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the process on its data directory and return when it answers and follows the chain."""
        ...

    async def stop(self) -> None:
        """Ask it to end, wait for that, and end it by force when it takes too long."""
        ...

    async def kill(self) -> None:
        """`kill -9`; returns when the process is gone. `start` goes on from its data directory."""
        ...

    async def copy_state(self, folder: Path) -> None:
        """Copy the data directory of the stopped node into a new folder."""
        ...

    async def restore_state(self, folder: Path) -> None:
        """Put a copy made by `copy_state` in place of the data directory of the stopped node."""
        ...

    async def info(self) -> ForeignInfo:
        """Say who it is and how far it is."""
        ...

    @property
    def port(self) -> int:
        """Where it takes Lightning connections on 127.0.0.1."""
        ...

    # --- wallet -------------------------------------------------------------------------------------------------------

    async def new_address(self) -> str:
        """Return a fresh address of its wallet."""
        ...

    async def onchain_sat(self) -> int:
        """Return what its wallet can spend, confirmed only."""
        ...

    async def send_onchain(self, address: str, amount_sat: int) -> str:
        """Pay an address from its wallet; return the txid."""
        ...

    # --- peers --------------------------------------------------------------------------------------------------------

    async def connect(self, node_id: str, port: int) -> None:
        """Connect to a node on 127.0.0.1; connected already is fine."""
        ...

    async def disconnect(self, node_id: str) -> None:
        """End the connection. Channels stay."""
        ...

    async def peers(self) -> frozenset[str]:
        """Return the node ids that are connected."""
        ...

    async def peer_features(self, node_id: str) -> frozenset[int]:
        """Return the feature bits that a connected peer has sent in `init`."""
        ...

    async def trust_peer(self, node_id: str) -> None:
        """Accept zero-conf channels of this peer from now on (also after a restart, when asked again)."""
        ...

    async def send_custom_message(self, node_id: str, message_type: int, payload: bytes) -> None:
        """Send a message of any type from 32768 on, even or odd."""
        ...

    async def custom_messages(self) -> tuple[CustomMessage, ...]:
        """Return the messages of such types that came in this life."""
        ...

    # --- channels -----------------------------------------------------------------------------------------------------

    async def open_channel(self, request: OpenRequest) -> str:
        """Open a channel and return its funding outpoint when the funding transaction is in the mempool."""
        ...

    async def channels(self) -> tuple[ForeignChannel, ...]:
        """Return its channels that are not closed on chain, pending ones too."""
        ...

    async def htlcs(self, funding_outpoint: str) -> tuple[ForeignHtlc, ...]:
        """Return the HTLCs that are pending in an open channel."""
        ...

    async def refusals(self) -> tuple[str, ...]:
        """Return the words of errors and warnings that peers sent in this life, the oldest first."""
        ...

    async def close_channel(
        self,
        funding_outpoint: str,
        *,
        force: bool = False,
        address: str | None = None,
        feerate_per_kw: int | None = None,
    ) -> None:
        """Begin to close a channel; returns when the peer took it on. feerate_per_kw: only of a cooperative close."""
        ...

    async def closed_channels(self) -> Mapping[str, str]:
        """Return funding outpoint -> closing txid of channels that it saw spent, resolved or not."""
        ...

    async def pending_sweeps(self) -> int:
        """Return how many outputs of closed channels it still waits for."""
        ...

    async def set_forwarding(
        self, funding_outpoint: str, fee_base_msat: int, fee_proportional_millionths: int, cltv_expiry_delta: int
    ) -> None:
        """Change what it asks for forwarding out of a channel, and tell its peer."""
        ...

    async def set_feerate(self, feerate_per_kw: int) -> None:
        """Make it believe in another on-chain feerate; as initiator it soon sends `update_fee`."""
        ...

    # --- payments -----------------------------------------------------------------------------------------------------

    async def create_invoice(
        self, amount_msat: int | None, description: str, *, expiry_seconds: int = 3600, payment_hash: str | None = None
    ) -> str:
        """Make an invoice with hints of its private channels. payment_hash: the payment is held until `settle`."""
        ...

    async def held(self, payment_hash: str) -> bool:
        """Whether a payment to a hold invoice is there in full and waits."""
        ...

    async def settle(self, preimage: str) -> None:
        """Claim a held payment."""
        ...

    async def cancel(self, payment_hash: str) -> None:
        """Fail a held payment, or make an invoice void."""
        ...

    async def pay(self, invoice: str, amount_msat: int | None = None, limits: HtlcLimits | None = None) -> str:
        """Start to pay an invoice; return the payment hash. `payment` follows it.

        amount_msat: only for an invoice without one.
        """
        ...

    async def keysend(self, node_id: str, amount_msat: int, custom_records: Mapping[int, bytes] | None = None) -> str:
        """Start a payment without an invoice; return the payment hash."""
        ...

    async def pay_unknown_hash(
        self,
        node_id: str,
        amount_msat: int,
        payment_hash: str,
        *,
        payment_secret: str | None = None,
        final_cltv_expiry_delta: int | None = None,
    ) -> str:
        """Start to pay a direct peer for a hash that it may never have made an invoice for; return the hash.

        payment_secret: None is a random one. final_cltv_expiry_delta: None is a usual one.
        """
        ...

    async def pay_all(self, invoices: Sequence[str], in_flight: int) -> BulkPaid:
        """Pay many invoices, so many of them under way at once, and wait until all have ended; for benchmarks.

        It is measured as near to the node as can be: this program should cost nothing meanwhile.
        """
        ...

    async def payment(self, payment_hash: str) -> ForeignPayment:
        """Return one of its own payments as it is now."""
        ...

    async def payments(self) -> tuple[ForeignPayment, ...]:
        """Return all payments that it made."""
        ...

    async def received_msat(self, payment_hash: str) -> int:
        """Return what it has claimed for a hash, 0 when nothing."""
        ...

    async def disowned(self) -> frozenset[str]:
        """Return hashes of payments that it may tell as received and has sent back all the same, by its own log."""
        ...

    async def received_records(self, payment_hash: str) -> Mapping[int, bytes]:
        """Return the custom records (type 65536 and above) of a payment that it has claimed; none when there are none.

        What carries a keysend's preimage is not among them.
        """
        ...
