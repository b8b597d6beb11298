"""Whether an HTLC fits: the rules of BOLT 2, "Adding an HTLC: `update_add_htlc`", for both directions.

All checks read counters that the views keep, so their cost does not grow with the number of HTLCs.
"""

from leyden.channel.core import ChannelCore
from leyden.channel.env import ChannelEnv
from leyden.channel.view import CommitmentView
from leyden.transactions import fees

MAX_HTLCS_PER_SIDE = 483
CLTV_EXPIRY_LIMIT = 500_000_000

NO_SLOT = "no_slot"
IN_FLIGHT_LIMIT = "in_flight_limit"
INSUFFICIENT_BALANCE = "insufficient_balance"
BELOW_MINIMUM = "below_htlc_minimum"
DUST_EXPOSURE = "dust_exposure"
QUEUE_FULL = "queue_full"
DISCONNECTED = "disconnected"
CLOSING = "closing"

WAITS = frozenset({NO_SLOT, IN_FLIGHT_LIMIT})
"""Refusals that pass when HTLCs of this channel are resolved; such an HTLC waits in the queue."""


def refusal(core: ChannelCore, next_remote: CommitmentView, amount_msat: int, env: ChannelEnv) -> str:
    """Return why an HTLC of ours cannot be offered on top of `next_remote`, or an empty string.

    next_remote: the peer's next commitment with all that is sent before it.
    """
    remote = core.opened.remote
    if amount_msat < max(remote.htlc_minimum_msat, 1):
        return BELOW_MINIMUM
    if next_remote.offered_count >= min(remote.max_accepted_htlcs, MAX_HTLCS_PER_SIDE):
        return NO_SLOT
    if next_remote.offered_msat + amount_msat > remote.max_htlc_value_in_flight_msat:
        return IN_FLIGHT_LIMIT
    if _exceeds_dust(core, next_remote, amount_msat, env):
        return DUST_EXPOSURE
    if amount_msat > _spendable_msat(core, next_remote):
        return INSUFFICIENT_BALANCE
    return ""


def spendable_msat(core: ChannelCore, queued_msat: int) -> int:
    """Return about how much one more HTLC could carry now (never negative); for choosing channels, not a promise."""
    return max(0, min(_spendable_msat(core, core.remote), in_flight_room_msat(core)) - queued_msat)


def in_flight_room_msat(core: ChannelCore) -> int:
    """Return what the peer's in-flight limit leaves."""
    return core.opened.remote.max_htlc_value_in_flight_msat - core.remote.offered_msat


def receivable_msat(core: ChannelCore) -> int:
    """Return about how much the peer could send us in one HTLC now (never negative)."""
    reserve_msat = core.opened.local.channel_reserve_satoshis * 1000
    cost_msat = 0 if core.opened.is_opener else _opener_cost_msat(core.local, core.local.untrimmed + 1)
    room_msat = core.opened.local.max_htlc_value_in_flight_msat - core.local.received_msat
    return max(0, min(core.local.remote_msat - reserve_msat - cost_msat, room_msat))


def _opener_cost_msat(view: CommitmentView, untrimmed: int) -> int:
    return fees.commitment_cost_sat(view.feerate_per_kw, untrimmed, view.anchors) * 1000


def _spendable_msat(core: ChannelCore, next_remote: CommitmentView) -> int:
    """Our balance above our reserve, and above what keeps the opener able to pay for one HTLC more."""
    reserve_msat = core.opened.remote.channel_reserve_satoshis * 1000
    balance_msat = next_remote.local_msat - reserve_msat
    untrimmed = 1 + max(
        next_remote.untrimmed, core.local.untrimmed + len(core.own_signed.adds) + len(core.own_acked.adds)
    )
    if core.opened.is_opener:
        # Fee-spike buffer: room for twice the feerate and one more HTLC (BOLT 2, "Adding an HTLC").
        buffer_msat = (
            fees.commitment_cost_sat(2 * next_remote.feerate_per_kw, untrimmed + 1, next_remote.anchors) * 1000
        )
        return balance_msat - buffer_msat
    # The peer pays the fee: our HTLC must not push it below its reserve.
    peer_reserve_msat = core.opened.local.channel_reserve_satoshis * 1000
    if next_remote.remote_msat - _opener_cost_msat(next_remote, untrimmed) < peer_reserve_msat:
        return 0
    return balance_msat


def _exceeds_dust(core: ChannelCore, next_remote: CommitmentView, amount_msat: int, env: ChannelEnv) -> bool:
    exposure_max_msat = env.limits.max_dust_htlc_exposure_msat
    if core.opened.anchors:
        trims_remote = amount_msat < next_remote.offered_threshold_msat
        trims_local = amount_msat < core.local.offered_threshold_msat
        remote_dust_msat, local_dust_msat = next_remote.dust_msat, core.local.dust_msat
    else:
        remote_dust_msat, threshold_remote = buffered_dust(next_remote, env)
        local_dust_msat, threshold_local = buffered_dust(core.local, env)
        trims_remote = amount_msat < threshold_remote
        trims_local = amount_msat < threshold_local
    return (trims_remote and remote_dust_msat + amount_msat > exposure_max_msat) or (
        trims_local and local_dust_msat + amount_msat > exposure_max_msat
    )


def buffered_dust(view: CommitmentView, env: ChannelEnv) -> tuple[int, int]:
    """Return the trimmed sum and the larger threshold of `view` at the buffer feerate (without anchors, where it matters)."""
    feerate = env.buffer_feerate_per_kw(view.feerate_per_kw)
    thresholds = fees.trim_thresholds(view.dust_limit_satoshis, feerate, view.anchors)
    threshold_msat = max(thresholds.offered_msat, thresholds.received_msat)
    dust_msat = sum([htlc.amount_msat for htlc in view.htlcs.values() if htlc.amount_msat < threshold_msat])
    return dust_msat, threshold_msat


def inbound_exceeds_dust(core: ChannelCore, amount_msat: int, env: ChannelEnv) -> bool:
    """Return whether a committed HTLC of the peer is one trimmed HTLC too many: it is failed back, nothing is revealed."""
    exposure_max_msat = env.limits.max_dust_htlc_exposure_msat
    for view in (core.local, core.remote):
        if amount_msat < view.received_threshold_msat and view.dust_msat > exposure_max_msat:
            return True
    return False


def check_received(core: ChannelCore, view: CommitmentView, amount_msat: int) -> str:
    """Return which limit of ours an HTLC of the peer breaks on top of `view`, or an empty string."""
    local = core.opened.local
    if amount_msat < max(local.htlc_minimum_msat, 1):
        return "amount_msat is below our htlc_minimum_msat"
    if view.received_count >= min(local.max_accepted_htlcs, MAX_HTLCS_PER_SIDE):
        return "more HTLCs than our max_accepted_htlcs"
    if view.received_msat + amount_msat > local.max_htlc_value_in_flight_msat:
        return "more in flight than our max_htlc_value_in_flight_msat"
    reserve_msat = local.channel_reserve_satoshis * 1000
    untrimmed = view.untrimmed + (amount_msat >= view.received_threshold_msat)
    cost_msat = 0 if core.opened.is_opener else _opener_cost_msat(view, untrimmed)
    if view.remote_msat - amount_msat < reserve_msat + cost_msat:
        return "amount_msat is more than the sender can afford above its reserve and the fee"
    return ""
