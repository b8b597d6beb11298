"""The keys of `leyden.toml`, each with its default, its bounds and its sentence: the documentation is made from them.

The reading is in `config.py`.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from leyden.manager.actions import Subsystem
from leyden.manager.forwarding import CLTV_EXPIRY_DELTA_MIN
from leyden.node import files

LOG_SUBSYSTEMS: Final[tuple[str, ...]] = (*get_args(Subsystem), "api")
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
NetworkName: TypeAlias = Literal["mainnet", "testnet", "signet", "regtest"]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Msat: TypeAlias = Annotated[int, Meta(ge=0, le=2_100_000_000_000_000_000)]
Sat: TypeAlias = Annotated[int, Meta(ge=0, le=2_100_000_000_000_000)]
Millionths: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]
Blocks: TypeAlias = Annotated[int, Meta(ge=1, le=65_535)]
Seconds: TypeAlias = Annotated[int, Meta(ge=0, le=10 * 366 * 86_400)]


class BitcoindSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The chain service: Bitcoin Core, or `leyden regtest`."""

    url: Annotated[str, Meta(description="http://host:port; empty: this computer, the network's usual port")] = ""
    cookie_file: Annotated[str, Meta(description="file with user:password that bitcoind makes at each start")] = ""
    user: Annotated[str, Meta(description="instead of the cookie file")] = ""
    mempool_seconds: Annotated[
        int,
        Meta(ge=1, le=600, description="between two looks into the mempool for preimages in what spends from channels"),
    ] = 5
    password: Annotated[str, Meta(description="instead of the cookie file; better in LEYDEN_BITCOIND_PASSWORD")] = ""

    def __repr__(self) -> str:
        """Show everything but the password."""
        return f"BitcoindSettings(url={self.url!r}, cookie_file={self.cookie_file!r}, user={self.user!r})"


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where journals are kept."""

    delay_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="make every batch durable this much later: to see what a slow disk does")
    ] = 0
    warn_after_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="warn when a record waits longer than this to be durable")
    ] = 5


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log: a rotating file in the data directory, and standard error."""

    level: Annotated[LogLevel, Meta(description="of everything that `levels` does not name")] = "info"
    levels: Annotated[
        dict[str, LogLevel],
        Meta(description=f'by subsystem ({" ".join(LOG_SUBSYSTEMS)}): {{ peer = "debug" }}'),
    ] = {}
    format: Annotated[Literal["text", "json"], Meta(description="one line each: key=value text, or a JSON object")] = (
        "text"
    )
    file_bytes_max: Annotated[int, Meta(ge=10_000, le=1 << 40, description="size at which a new file is begun")] = (
        10_000_000
    )
    files_kept: Annotated[int, Meta(ge=1, le=1000, description="old log files that are kept")] = 5
    stderr: Annotated[bool, Meta(description="also write to standard error")] = True


class ForwardingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What new channels ask for forwarding; `set_policy` changes a channel that exists."""

    fee_base_msat: Annotated[Msat, Meta(description="for each payment")] = 1000
    fee_proportional_millionths: Annotated[Millionths, Meta(description="of the amount")] = 100
    cltv_expiry_delta: Annotated[
        int, Meta(ge=CLTV_EXPIRY_DELTA_MIN, le=2016, description="blocks between incoming and outgoing HTLC")
    ] = 72
    htlc_minimum_msat: Annotated[Msat, Meta(description="smallest HTLC that is forwarded")] = 1


class ChannelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of new channels. Names as in BOLT 2 where it has one."""

    funding_satoshis_min: Annotated[Sat, Meta(description="smallest channel that is opened or accepted")] = 20_000
    funding_satoshis_max: Annotated[Sat, Meta(description="largest one")] = 10_000_000_000
    minimum_depth: Annotated[
        int, Meta(ge=1, le=144, description="confirmations of the funding before a channel is used")
    ] = 3
    to_self_delay: Annotated[
        Blocks, Meta(description="blocks that a peer waits for its funds after a forced close")
    ] = 144
    to_self_delay_max: Annotated[Blocks, Meta(description="blocks that we agree to wait")] = 2016
    channel_reserve_percent: Annotated[int, Meta(ge=0, le=50, description="of the capacity, what a peer must keep")] = 1
    htlc_minimum_msat: Annotated[Msat, Meta(description="smallest HTLC that a peer may send")] = 1
    max_accepted_htlcs: Annotated[int, Meta(ge=1, le=483, description="HTLCs that a peer may have pending")] = 483
    max_htlc_value_in_flight_percent: Annotated[
        int, Meta(ge=1, le=100, description="of the capacity, what a peer may have pending")
    ] = 100
    max_dust_htlc_exposure_msat: Annotated[
        Msat, Meta(description="sum of HTLCs too small for an output that a commitment may hold")
    ] = 50_000_000
    close_on_error: Annotated[
        bool,
        Meta(
            description="force-close when the peer fails a channel; false: never close on your own, "
            "only when a payment's deadline needs it"
        ),
    ] = True
    unfunded_channels_per_peer: Annotated[int, Meta(ge=0, le=100, description="openings of one peer at a time")] = 4


class PaymentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Paying and being paid."""

    auto_claim: Annotated[
        bool, Meta(description="claim what pays our invoices; false: ask with an event payment_claimable")
    ] = True
    accept_keysend: Annotated[bool, Meta(description="take payments that no invoice asked for")] = True
    min_final_cltv_expiry_delta: Annotated[
        int, Meta(ge=18, le=1000, description="blocks that our invoices leave us to claim")
    ] = 42
    mpp_timeout_seconds: Annotated[
        int, Meta(ge=60, le=3600, description="how long an incomplete multi-part payment is held")
    ] = 60
    retention_seconds: Annotated[Seconds, Meta(description="how long a finished payment_id stays known")] = 7 * 86_400
    fee_limit_percent: Annotated[int, Meta(ge=0, le=100, description="of the amount, when a call names no limit")] = 5
    fee_limit_floor_msat: Annotated[Msat, Meta(description="a fee below this is always fine")] = 10_000
    deadline_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="how long ways are tried when a call names no deadline")
    ] = 60


class WatchtowerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What others may punish a cheating peer with while this node is away."""

    file: Annotated[
        str, Meta(description="append signed, encrypted penalties here as states are revoked; empty: make none")
    ] = ""
    feerates_per_kw: Annotated[
        tuple[Annotated[int, Meta(ge=253, le=1_000_000)], ...],
        Meta(min_length=1, max_length=8, description="sat per 1000 weight units; one penalty for each"),
    ] = (2_500, 12_500, 62_500)


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a node is told at its start. See `config.py` for how it is read."""

    network: Annotated[NetworkName, Meta(description="which Bitcoin; fixed when the data directory is made")] = (
        "regtest"
    )
    data_dir: Annotated[str, Meta(description="the data directory; default: where this file is")] = ""
    restored: Annotated[
        bool, Meta(description="the seed was used before: look for its coins in the whole chain at the first start")
    ] = False
    alias: Annotated[str, Meta(max_length=32, description="name for people, 32 bytes at most")] = ""
    listen: Annotated[
        tuple[str, ...], Meta(description="host:port to take connections at; [] takes none, port 0 is any free one")
    ] = ("127.0.0.1:9735",)
    unacknowledged_events_max: Annotated[
        int, Meta(ge=100, le=10_000_000, description="above it no new HTLCs and channels are taken (claims always are)")
    ] = 100_000
    bitcoind: BitcoindSettings = BitcoindSettings()
    store: StoreSettings = StoreSettings()
    log: LogSettings = LogSettings()
    forwarding: ForwardingSettings = ForwardingSettings()
    channels: ChannelSettings = ChannelSettings()
    payments: PaymentSettings = PaymentSettings()
    watchtower: WatchtowerSettings = WatchtowerSettings()

    @property
    def directory(self) -> Path:
        """The data directory."""
        return Path(self.data_dir)

    @property
    def key_path(self) -> Path:
        """The file with the seed."""
        return self.directory / files.KEY_FILE

    @property
    def store_path(self) -> Path:
        """The file with the journals."""
        return self.directory / files.STORE_FILE

    @property
    def mark_path(self) -> Path:
        """The file that remembers how far the journals had come."""
        return self.directory / files.MARK_FILE

    @property
    def socket_path(self) -> Path:
        """The Unix socket of the API."""
        return self.directory / files.SOCKET_FILE

    @property
    def log_path(self) -> Path:
        """The log file."""
        return self.directory / files.LOG_FILE
