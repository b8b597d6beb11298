"""Fee policy: which feerate our commitments should have, and what claims are told that a block costs."""

from collections.abc import Mapping

from leyden.channel.inputs import ChangeFeerate
from leyden.manager.manager import Manager

ANCHOR_FEERATE_MAX_PER_KW = 2500
"""With anchors a commitment needs only enough to relay; a child pays for the rest."""
CHANGE_PERCENT_MIN = 20
TARGETS_BLOCKS = (1, 2, 3, 6, 12, 24, 144)
"""What estimates are asked for: claims take the longest that is in time."""
COMMITMENT_TARGET_BLOCKS = 6
CLOSING_TARGET_BLOCKS = 12
ABSURD_FEERATE_PER_KW = 250_000
"""1000 sat/vB: an estimate above it is a fault of the estimator, not a market."""


def target_feerate_per_kw(estimate_per_kw: int, *, anchors: bool) -> int:
    """Return the feerate for a commitment of ours."""
    return min(estimate_per_kw, ANCHOR_FEERATE_MAX_PER_KW) if anchors else estimate_per_kw


def set_feerates(m: Manager, feerate_per_kw: int, closing_feerate_per_kw: int) -> None:
    """Take new estimates; channels that we opened follow when the change is worth a commitment."""
    m.set_env(feerate_per_kw=feerate_per_kw, closing_feerate_per_kw=closing_feerate_per_kw)
    for slot in m.channels.values():
        core = slot.state.core
        if not core.opened.is_opener:
            continue
        now = core.remote.feerate_per_kw
        target = target_feerate_per_kw(feerate_per_kw, anchors=core.opened.anchors)
        if abs(target - now) * 100 > now * CHANGE_PERCENT_MIN:
            m.guarded(slot, ChangeFeerate(target))


def note_estimates(m: Manager, estimates: Mapping[int, int]) -> str:
    """Take new estimates (sat/kw by target in blocks) into `m.feerates`; return what is wrong with them, or "".

    Absurd ones are left out, the others are bounded, and no target costs less than a longer one. When none can be used
    the last ones stay. Nothing of it is durable.
    """
    usable = {blocks: rate for blocks, rate in estimates.items() if 0 < rate <= ABSURD_FEERATE_PER_KW}
    wrong = [
        f"the fee estimate of {rate} sat/kw for {blocks} blocks is absurd and not used"
        for blocks, rate in estimates.items()
        if blocks not in usable
    ]
    if usable:
        table: dict[int, int] = {}
        highest = m.config.feerate_min_per_kw
        for blocks in sorted(usable, reverse=True):
            highest = max(highest, min(usable[blocks], m.config.feerate_max_per_kw))
            table[blocks] = highest
        m.feerates = table
    else:
        used = feerate_for(m, COMMITMENT_TARGET_BLOCKS)
        wrong.append(f"there is no fee estimate that can be used: {used} sat/kw are used for 6 blocks, as before")
    return "; ".join(wrong)


def follow_estimates(m: Manager) -> None:
    """Let commitments and closes have the feerates that were noted last."""
    set_feerates(m, feerate_for(m, COMMITMENT_TARGET_BLOCKS), feerate_for(m, CLOSING_TARGET_BLOCKS))


def feerate_for(m: Manager, blocks: int) -> int:
    """Return the feerate (sat/kw) to confirm within so many blocks: that of the longest target that is no longer.

    Before any estimate is known it is that of commitments (`ChannelEnv.feerate_per_kw`).
    """
    targets = [target for target in m.feerates if target <= blocks] or [min(m.feerates, default=0)]
    return m.feerates.get(max(targets), m.env.feerate_per_kw)
