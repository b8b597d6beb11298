"""The reckoning: each node's balance is explained to the satoshi, and nothing in it is what is left over.

Payments, and what forwards earned, are what the nodes told in their events; fees, anchors and what was taken by justice
are read from the chain (`ledger.py`); what each owns in the end is said by the node, and by the chain.
"""

import asyncio
from typing import Final

import msgspec

from leyden.bitcoin.tx import OutPoint, txid_from_hex
from leyden.demo.accounts import own_words
from leyden.demo.errors import DemoFailed
from leyden.demo.onchain.chain import read_blocks, wallets
from leyden.demo.onchain.cheat import LOST, PUNISHED, Crime
from leyden.demo.onchain.events import Heard, check_amounts, check_told, of_channels, of_outputs, of_payment
from leyden.demo.onchain.ledger import Channel, Ledger, OutputKind, PaidFee, Taken
from leyden.demo.onchain.story import NAMES, HeldPayment, Opened, channel_between, mine_slowly, until_in_mempool
from leyden.demo.screen import MSAT_PER_SAT, Screen, Step
from leyden.demo.world import World

SETTLE_BLOCKS: Final = 115
SETTLE_MORE: Final = 30
"""Times two blocks, at most."""


class OnchainAccount(msgspec.Struct):
    """One node, in satoshi. payments_sat: received, less sent, less given away with a channel. forwarding_sat: fees
    earned, less fees paid for it. justice_sat: taken from a cheater, or lost by cheating. anchors_sat: got from
    anchors, less put into them. *_fees_sat: of transactions that it has paid for. final_sat: its own word.
    on_chain_sat: what blocks say that its wallet has.
    """

    put_in_sat: int = 0
    payments_sat: int = 0
    forwarding_sat: int = 0
    justice_sat: int = 0
    anchors_sat: int = 0
    open_fees_sat: int = 0
    close_fees_sat: int = 0
    claim_fees_sat: int = 0
    final_sat: int = 0
    on_chain_sat: int = 0

    def expected_sat(self) -> int:
        """Return what the node must have in the end."""
        income_sat = self.payments_sat + self.forwarding_sat + self.justice_sat + self.anchors_sat
        return self.put_in_sat + income_sat - self.open_fees_sat - self.close_fees_sat - self.claim_fees_sat


class OnchainAccounts(msgspec.Struct):
    """All of it. miners_sat: fees that blocks collected. left_sat: anchors that nobody wants. fees: each transaction;
    punished: outputs that were taken with the revocation key. events: by node and type, how many were told.
    """

    nodes: dict[str, OnchainAccount]
    miners_sat: int
    left_sat: int
    is_exact: bool
    fees: list[PaidFee] = []
    punished: list[Taken] = []
    events: dict[str, dict[str, int]] = {}


async def account(
    world: World, screen: Screen, heard: Heard, opened: list[Opened], held: list[HeldPayment], crime: Crime
) -> OnchainAccounts:
    """Add everything up. Raises DemoFailed when a satoshi or an event is missing, or too much."""
    with screen.step("Everything is resolved; account for every satoshi and every event") as step:
        await world.node("alice").api.close(await channel_between(world, "alice", "bob"))
        await until_in_mempool(world, 1)
        step.now(f"{SETTLE_BLOCKS} blocks, until nothing can be undone")
        await mine_slowly(world, SETTLE_BLOCKS, 5)
        async with asyncio.TaskGroup() as group:
            for name in NAMES:
                group.create_task(heard.restart(name))
        await _until_resolved(world, heard)
        channels = [Channel(one.opener, one.other, _outpoint(one)) for one in opened]
        ledger = Ledger(await read_blocks(world.processes.rpc), wallets(world.nodes), channels)
        result = OnchainAccounts({}, ledger.miners_sat, ledger.left_sat, is_exact=False, fees=ledger.fees)
        result.punished = [one for one in ledger.taken if one.by_revocation]
        _check_events(heard, ledger, opened, held, crime)
        result.events = {name: history.counts() for name, history in heard.histories.items()}
        for name in NAMES:
            result.nodes[name] = await _account_of(world, name, heard, ledger)
        judge(result, ledger, crime)
        check(result)
        result.is_exact = True
        _say(step, result, heard)
        return result


def _check_events(heard: Heard, ledger: Ledger, opened: list[Opened], held: list[HeldPayment], crime: Crime) -> None:
    forwards = [("bob", "payment_forwarded", opened[0].channel_id)]
    payments = [fact for one in held for fact in of_payment(one)]
    check_told(
        heard.histories.values(), [*of_channels(opened), *payments, *forwards, *crime.facts, *of_outputs(ledger.taken)]
    )
    for history in heard.histories.values():
        check_amounts(history, ledger.taken)


def _say(step: Step, accounts: OnchainAccounts, heard: Heard) -> None:
    histories = heard.histories.values()
    told, again = sum([len(one.told) for one in histories]), sum([one.told_again for one in histories])
    step.say("kill -9 for all four: what nobody has acknowledged is told again")
    step.say(f"{told} events: each that is due once, no other; {again} told again after a kill")
    step.say(f"{len(accounts.fees)} transactions; who paid for each is read from the chain")
    for one in sorted(accounts.punished, key=lambda one: list(_WORDS).index(one.kind)):
        step.say(f"alice took {_WORDS[one.kind]}: {one.value_sat:,} sat")
    step.say("no channel is left; payments, fees and justice explain each balance")


def _outpoint(opened: Opened) -> OutPoint:
    return OutPoint(txid_from_hex(opened.funding_txid), opened.funding_output_index)


async def _until_resolved(world: World, heard: Heard) -> None:
    """Mine until no channel is left; each stays while its user has not acknowledged all that it tells."""
    for _ in range(SETTLE_MORE):
        await heard.listen_to_all(acknowledge_all=True)
        if await _is_resolved(world):
            return
        await mine_slowly(world, 2)
    raise DemoFailed(f"{SETTLE_BLOCKS + 2 * SETTLE_MORE} blocks later there is still something to resolve")


async def _is_resolved(world: World) -> bool:
    for node in world.nodes:
        balance = await node.api.balance()
        if await node.api.channels() or balance.closing_sat or balance.unconfirmed_sat:
            return False
    return True


def _sats(name: str, amount_msat: int) -> int:
    if amount_msat % MSAT_PER_SAT:
        raise DemoFailed(f"{name}: fractions of a satoshi: {amount_msat} msat")
    return amount_msat // MSAT_PER_SAT


async def _account_of(world: World, name: str, heard: Heard, ledger: Ledger) -> OnchainAccount:
    # What mallory has paid is what she was told of it, not what her old copy believes.
    told = heard.histories[LOST if name == "mallory" else name]
    said = await own_words(world, name)
    return OnchainAccount(
        put_in_sat=_sats(name, said.put_in_msat),
        payments_sat=_sats(name, told.payments_msat() + world.gifts_msat.get(name, 0)),
        forwarding_sat=_sats(name, told.forwarding_msat()),
        anchors_sat=ledger.anchors_sat.get(name, 0),
        open_fees_sat=ledger.fees_sat(name, "open"),
        close_fees_sat=ledger.fees_sat(name, "close"),
        claim_fees_sat=ledger.fees_sat(name, "claim"),
        final_sat=_sats(name, said.final_msat),
        on_chain_sat=ledger.owned_sat.get(name, 0),
    )


def judge(accounts: OnchainAccounts, ledger: Ledger, crime: Crime) -> None:
    """Write down what the victim took above what was due to it, and what the cheater has lost of its own.

    The two are found apart: the one from the outputs that the victim took, the other from what the cheater had in the
    channel, less the fees that it has paid out of it.
    """
    took_sat = sum([one.value_sat for one in ledger.taken if (one.channel, one.by) == (crime.channel, crime.victim)])
    paid_sat = sum(
        [
            one.fee_sat
            for one in ledger.fees
            if (one.channel, one.payer) == (crime.channel, crime.cheater) and one.kind != "open" and not one.from_coins
        ]
    )
    punished = tuple(sorted([one.kind for one in accounts.punished]))
    if punished != PUNISHED or any(one.by != crime.victim for one in accounts.punished):
        raise DemoFailed(f"taken with the revocation key: {accounts.punished}, and not {PUNISHED} by {crime.victim}")
    accounts.nodes[crime.victim].justice_sat += took_sat - _sats(crime.victim, crime.victims_due_msat)
    accounts.nodes[crime.cheater].justice_sat -= _sats(crime.cheater, crime.cheaters_due_msat) - paid_sat


def check(accounts: OnchainAccounts) -> None:
    """Raise DemoFailed, with every sum that is wrong, unless all agree to the satoshi."""
    wrong: list[str] = []
    for name, one in accounts.nodes.items():
        if one.final_sat != one.expected_sat():
            wrong.append(f"{name} has {one.final_sat:,} sat and must have {one.expected_sat():,}")
        if one.final_sat != one.on_chain_sat:
            wrong.append(f"{name} says it has {one.final_sat:,} sat, the chain {one.on_chain_sat:,}")
    total = sum_of(accounts)
    fees_sat = total.open_fees_sat + total.close_fees_sat + total.claim_fees_sat
    if fees_sat != accounts.miners_sat:
        wrong.append(f"{fees_sat:,} sat of fees were paid, miners got {accounts.miners_sat:,}")
    if total.anchors_sat != -accounts.left_sat:
        wrong.append(f"{-total.anchors_sat:,} sat are missing in anchors, {accounts.left_sat:,} are left in them")
    if total.payments_sat:
        wrong.append(f"what was paid is not what was received: {total.payments_sat:,} sat")
    if total.forwarding_sat:
        wrong.append(f"what was paid for forwarding is not what was earned: {total.forwarding_sat:,} sat")
    if total.justice_sat:
        wrong.append(f"what was taken is not what was lost: {total.justice_sat:,} sat")
    if wrong:
        raise DemoFailed("the sums do not agree: " + "; ".join(wrong))


def sum_of(accounts: OnchainAccounts) -> OnchainAccount:
    """Return all nodes together."""
    everybody = accounts.nodes.values()
    return OnchainAccount(*[sum([getattr(one, field) for one in everybody]) for field in _FIELDS])


_WORDS: Final[dict[OutputKind, str]] = {
    "to_local": "mallory's balance",
    "offered_htlc": "an HTLC that mallory offered",
    "received_htlc": "an HTLC that mallory received",
    "second_stage": "an HTLC that mallory had moved on",
}
_FIELDS: Final = OnchainAccount.__struct_fields__
_ROWS: Final = (
    ("put in", "put_in_sat", 1),
    ("payments", "payments_sat", 1),
    ("forwarding fees", "forwarding_sat", 1),
    ("justice", "justice_sat", 1),
    ("anchors", "anchors_sat", 1),
    ("fees: opening", "open_fees_sat", -1),
    ("fees: closing", "close_fees_sat", -1),
    ("fees: claiming", "claim_fees_sat", -1),
    ("owns now", "final_sat", 1),
)


def show(screen: Screen, accounts: OnchainAccounts) -> None:
    """Show the final table; without its last column where that does not fit."""
    total = sum_of(accounts)
    shown = {**accounts.nodes, "all": total} if screen.is_wide else accounts.nodes
    rows = [[label, *[f"{sign * getattr(one, field):,}" for one in shown.values()]] for label, field, sign in _ROWS]
    screen.table(
        "Accounts, in satoshi",
        ["", *shown],
        rows,
        f"{total.final_sat:,} owned + {accounts.miners_sat:,} to miners + {accounts.left_sat:,} in anchors"
        f" = {total.final_sat + accounts.miners_sat + accounts.left_sat:,} put in",
    )
