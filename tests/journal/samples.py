"""One value of every kind of record, no field empty: what the golden files hold. Change nothing here; add."""

from leyden.journal.records import (
    Acknowledged,
    AddedHtlc,
    ChannelClosed,
    ChannelOpened,
    ChannelRecord,
    Claim,
    ClaimAbandoned,
    ClaimPart,
    CloseAgreed,
    Closing,
    FailedHtlc,
    ForwardedPayment,
    ForwardingPolicy,
    ForwardingSwitched,
    FundingAbandoned,
    FundingConfirmed,
    FundingDisconnected,
    FundingSpent,
    HtlcsDecided,
    HtlcSource,
    HtlcsShown,
    LocalReady,
    OnchainResolved,
    OutputsDisconnected,
    OutputSpent,
    PeerPolicy,
    PolicyChanged,
    ProvenStale,
    ReceivedCommitment,
    ReceivedRevocation,
    RemoteReady,
    RemovedHtlc,
    SentCommitment,
    ShutdownReceived,
    ShutdownStarted,
    SideParameters,
    SpendableOutput,
    SpendDisconnected,
    Withdrawn,
)


def run_of(first: int, length: int) -> bytes:
    """Bytes that differ from each other and from other fields."""
    return bytes((first + place) % 256 for place in range(length))


CHANNEL_ID = run_of(0x10, 32)
POLICY = ForwardingPolicy(1_000, 10, 40, 1)
SOURCE = HtlcSource(run_of(0x20, 32), 3, forwarded=True)
ADD = AddedHtlc(7, 10_000_000, run_of(0x30, 32), 500, run_of(0x40, 1366), SOURCE, 1_010)
PEER_ADD = AddedHtlc(8, 2_100_000_000_000_000_000, run_of(0x31, 32), 499_999_999, run_of(0x41, 1366), None, 0)
FULFILLED = RemovedHtlc(1, run_of(0x50, 32), b"", 0, run_of(0x51, 920))
FAILED = RemovedHtlc(2, b"", run_of(0x52, 292), 0, run_of(0x53, 920))
MALFORMED = RemovedHtlc(4, b"", run_of(0x54, 32), 0xC005, b"")
CLAIM = Claim(
    run_of(0x60, 32),
    run_of(0x61, 32),
    run_of(0x62, 32),
    run_of(0x63, 32),
    "invoice",
    30_000_000,
    [ClaimPart(CHANNEL_ID, 5, 10_000_000), ClaimPart(run_of(0x64, 32), 6, 20_000_000)],
    [(65_537, b"\x01\x02"), (5_482_373_484, run_of(0x65, 32))],
)


def side(first: int) -> SideParameters:
    """One side's parameters; the points need not be on the curve."""
    one, two, three, four, five = (b"\x02" + run_of(first + place, 32) for place in range(5))
    return SideParameters(
        one, two, three, four, five, 354, 99_000_000_000, 1_000_000, 1, 144, 483, b"\x00\x14" + run_of(first, 20)
    )


SAMPLES: tuple[ChannelRecord, ...] = (
    ChannelOpened(
        channel_id=CHANNEL_ID,
        channel_keys_id=run_of(0x11, 32),
        counterparty_node_id=b"\x03" + run_of(0x12, 32),
        is_opener=True,
        anchors=True,
        scid_alias=True,
        zero_conf=False,
        announce_channel=False,
        funding_txid=run_of(0x13, 32),
        funding_output_index=1,
        funding_satoshis=100_000_000,
        push_msat=40_000_000_000,
        feerate_per_kw=1_000,
        minimum_depth=3,
        local=side(0x14),
        remote=side(0x24),
        remote_first_point=b"\x02" + run_of(0x34, 32),
        remote_signature=run_of(0x35, 64),
        funding_transaction=run_of(0x36, 120),
        batch=[run_of(0x37, 32)],
        policy=POLICY,
        birth_height=100,
        user_channel_id=run_of(0x38, 16),
    ),
    FundingConfirmed(101, run_of(0x71, 32), 111_050_976_690_177),
    FundingDisconnected(100),
    LocalReady(0xF0F1F2F3F4F5F6F7),
    RemoteReady(b"\x02" + run_of(0x72, 32), 77),
    SentCommitment(9, [ADD], [5, 6], 1_253),
    ReceivedCommitment(
        10,
        run_of(0x73, 64),
        run_of(0x74, 128),
        [PEER_ADD],
        [FULFILLED, FAILED, MALFORMED],
        2_500,
    ),
    ReceivedRevocation(8, run_of(0x75, 32), b"\x03" + run_of(0x76, 32)),
    HtlcsDecided(
        [ForwardedPayment(1, run_of(0x77, 32), run_of(0x78, 32), 4, 9_998_990, run_of(0x79, 920))],
        [FailedHtlc(2, run_of(0x7A, 292), 0, run_of(0x7B, 920)), FailedHtlc(3, run_of(0x7C, 32), 0xC006, b"")],
        [CLAIM],
    ),
    HtlcsShown(
        run_of(0x80, 32),
        [5, 6],
        run_of(0x81, 32),
        run_of(0x82, 32),
        "keysend",
        30_000_000,
        480,
        run_of(0x83, 32),
        [(65_537, b"\x03")],
    ),
    Acknowledged([(1, run_of(0x84, 32)), (2, b"")], [7, 300], [run_of(0x85, 32)], ["channel_ready/10"]),
    ShutdownStarted(b"\x00\x14" + run_of(0x86, 20), 2_000),
    ShutdownReceived(b"\x00\x14" + run_of(0x87, 20), b"\x51\x20" + run_of(0x88, 32), 2_100),
    CloseAgreed(run_of(0x89, 300), 1_234),
    Closing(9, "the user asked for it"),
    FundingSpent(run_of(0x8A, 300), 200, run_of(0x8B, 32)),
    SpendDisconnected(199),
    ChannelClosed(300, "cooperative close"),
    ProvenStale(12),
    PeerPolicy(77, 1_000, 100, 34, 1_000, 99_000_000_000, 1_700_000_000, disabled=True),
    PolicyChanged(POLICY, 1_700_000_001),
    ForwardingSwitched(POLICY, 1_700_000_001, is_disabled=True),
    ClaimAbandoned(run_of(0x8C, 32)),
    FundingAbandoned("the inputs were spent by another transaction"),
    Withdrawn(13),
    OutputSpent(run_of(0xA0, 150), 210, run_of(0xA1, 32)),
    OutputsDisconnected(209),
    OnchainResolved([(1, run_of(0xA2, 32))], [3], [SpendableOutput(run_of(0xA3, 32), 1, 54_321, "to_local")]),
)
