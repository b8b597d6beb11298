"""What a store that stalls for ten seconds costs: the payments that wait for it, and those that need not."""

from benchmarks.goals import Figure
from benchmarks.payments import CHANNEL_SAT, Figures, make_invoices, measure, warm_up
from benchmarks.run import Run
from benchmarks.world import World

STALL_SECONDS = 10
IN_FLIGHT = 50
AMOUNT_SAT = 10_000


def stalls(run: Run) -> Figures:
    """A payer with channels to two nodes: its whole store stalls, then the journal of one channel alone."""
    scale = run.scale
    with World() as world:
        run.say("three nodes and two channels")
        payer, stuck, free = world.node("payer", switch=True), world.node("stuck"), world.node("free")
        world.fund(payer)
        channel_id = world.channel(payer, stuck, CHANNEL_SAT)
        world.channel(payer, free, CHANNEL_SAT)
        warm_up([payer, free], scale.warm_up)
        calm = measure([payer, free], IN_FLIGHT, scale.stalled)
        run.say(f"the store stalls for {STALL_SECONDS} s")
        payer.call("stall", seconds=STALL_SECONDS, channel="")
        everything = measure([payer, free], IN_FLIGHT, scale.stalled)
        run.say("the journal of one channel stalls")
        [invoice] = make_invoices(stuck, 1, AMOUNT_SAT)
        payer.call("stall", seconds=STALL_SECONDS, channel=channel_id)
        payer.call("begin", invoice=invoice)
        other = measure([payer, free], IN_FLIGHT, scale.stalled)
    everything["calm"] = other["calm"] = calm
    return {
        "stall_all": Figure(round(everything["max_ms"] / 1000, 2), everything),
        "stall_other": Figure(other["per_second"], other),
    }
