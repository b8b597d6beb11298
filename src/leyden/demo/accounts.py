"""The reckoning: where every millisatoshi went, from three independent sources that must agree.

Nodes say what they own and what they paid; the channels' last balances say who paid for closing; the miner's blocks say
which fees were paid on chain.
"""

from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from leyden.demo.errors import DemoFailed
from leyden.demo.screen import MSAT_PER_SAT, Screen, exact, sat
from leyden.demo.story import NAMES, SUBSIDY_SAT
from leyden.demo.world import World
from leyden.node.views import ChannelView

_SAT_PER_BTC: Final = 100_000_000


class NodeAccount(msgspec.Struct):
    """One node's account, in msat. onchain_fees_msat: funding and closing, and what closing rounds down."""

    put_in_msat: int = 0
    sent_msat: int = 0
    received_msat: int = 0
    fees_paid_msat: int = 0
    fees_earned_msat: int = 0
    onchain_fees_msat: int = 0
    final_msat: int = 0

    def expected_msat(self) -> int:
        """Return what the node must have in the end."""
        income = self.put_in_msat + self.received_msat + self.fees_earned_msat
        return income - self.sent_msat - self.fees_paid_msat - self.onchain_fees_msat


class LastBalance(msgspec.Struct, frozen=True):
    """A channel just before it is closed; local is the opener."""

    opener: str
    other: str
    funding_txid: str
    funding_output_index: int
    capacity_sat: int
    local_msat: int
    remote_msat: int


class Accounts(msgspec.Struct):
    """All of it. miners_fees_msat: what the miner's blocks collected."""

    nodes: dict[str, NodeAccount]
    total: NodeAccount
    miners_fees_msat: int
    is_exact: bool


async def last_balances(world: World) -> list[LastBalance]:
    """Return the balances of all channels, seen by their openers. There must be no HTLC."""
    names = {node.node_id: node.name for node in world.nodes}
    return [
        _last_balance(name, names[channel.node_id], channel)
        for name in NAMES
        for channel in await world.node(name).api.channels()
        if channel.is_opener
    ]


def _last_balance(opener: str, other: str, channel: ChannelView) -> LastBalance:
    if channel.local_msat + channel.remote_msat != channel.capacity_sat * MSAT_PER_SAT:
        raise DemoFailed(f"the balances of channel {channel.channel_id} are not its capacity")
    return LastBalance(
        opener,
        other,
        channel.funding_txid,
        channel.funding_output_index,
        channel.capacity_sat,
        channel.local_msat,
        channel.remote_msat,
    )


async def account(world: World, screen: Screen, balances: list[LastBalance]) -> Accounts:
    """Add everything up. Raises DemoFailed when a single millisatoshi is missing, or too much."""
    with screen.step("Account for every millisatoshi") as step:
        accounts = {name: await own_words(world, name) for name in NAMES}
        step.now("the miner's blocks")
        transactions, miners_fees_sat = await _read_blocks(world)
        for balance in balances:
            _charge(accounts, balance, transactions)
        total = NodeAccount()
        for one in accounts.values():
            for field in NodeAccount.__struct_fields__:
                setattr(total, field, getattr(total, field) + getattr(one, field))
        result = Accounts(accounts, total, miners_fees_sat * MSAT_PER_SAT, is_exact=False)
        check(result)
        result.is_exact = True
        step.say("what each node owns is what its payments and fees leave it, to the millisatoshi")
        step.say("what all own, and what the miner collected, is what was put in")
        return result


async def own_words(world: World, name: str) -> NodeAccount:
    """What a node says of itself."""
    api = world.node(name).api
    balance = await api.balance()
    account = NodeAccount(put_in_msat=world.put_in_msat[name])
    sats = balance.confirmed_sat + balance.unconfirmed_sat + balance.immature_sat + balance.closing_sat
    in_flight = balance.in_flight_outbound_msat + balance.in_flight_inbound_msat
    account.final_msat = sats * MSAT_PER_SAT + balance.lightning_msat + in_flight
    for payment in await api.payments():
        if payment.status != "succeeded":
            continue
        if payment.direction == "outbound":
            account.sent_msat += payment.amount_msat
            account.fees_paid_msat += payment.fee_msat
        else:
            account.received_msat += payment.amount_msat
    for event in await world.events(name, "payment_forwarded"):
        account.fees_earned_msat += cast("int", event.fields["fee_msat"])
    return account


class _Transaction(msgspec.Struct, frozen=True):
    fee_sat: int
    spends: tuple[tuple[str, int], ...]


async def _read_blocks(world: World) -> tuple[dict[str, _Transaction], int]:
    """Read the whole chain: its transactions, and what its coinbases took above the subsidy."""
    transactions: dict[str, _Transaction] = {}
    collected_sat = 0
    height = cast("int", await world.processes.rpc("getblockcount"))
    for at in range(1, height + 1):
        block_hash = await world.processes.rpc("getblockhash", at)
        block = cast("dict[str, Any]", await world.processes.rpc("getblock", block_hash, 2))
        coinbase, *others = block["tx"]
        collected_sat += sum([_sat(output["value"]) for output in coinbase["vout"]]) - SUBSIDY_SAT
        for one in others:
            spends = tuple([(spent["txid"], spent["vout"]) for spent in one["vin"]])
            transactions[one["txid"]] = _Transaction(_sat(one["fee"]), spends)
    return transactions, collected_sat


def _sat(btc: Decimal | int) -> int:
    return int(Decimal(btc) * _SAT_PER_BTC)


def _charge(accounts: dict[str, NodeAccount], balance: LastBalance, transactions: dict[str, _Transaction]) -> None:
    """Charge a channel's funding and closing to its opener, and to each side what closing rounds down."""
    funding_output = (balance.funding_txid, balance.funding_output_index)
    closing_fees_sat = [one.fee_sat for one in transactions.values() if one.spends == (funding_output,)]
    if len(closing_fees_sat) != 1:
        raise DemoFailed(f"the channel {balance.opener}-{balance.other} was not closed by one transaction")
    funding_fee_msat = transactions[balance.funding_txid].fee_sat * MSAT_PER_SAT
    # The other side pays nothing but what its output is rounded down; the opener pays the rest.
    other_rounding_msat = balance.remote_msat % MSAT_PER_SAT
    closing_fee_msat = closing_fees_sat[0] * MSAT_PER_SAT - other_rounding_msat
    accounts[balance.opener].onchain_fees_msat += funding_fee_msat + closing_fee_msat
    accounts[balance.other].onchain_fees_msat += other_rounding_msat


def check(accounts: Accounts) -> None:
    """Raise DemoFailed, with every sum that is wrong, unless all agree to the millisatoshi."""
    wrong = [
        f"{name} has {exact(one.final_msat)} sat and must have {exact(one.expected_msat())}"
        for name, one in accounts.nodes.items()
        if one.final_msat != one.expected_msat()
    ]
    total = accounts.total
    if total.sent_msat != total.received_msat:
        wrong.append(f"{exact(total.sent_msat)} sat were sent, {exact(total.received_msat)} received")
    if total.fees_paid_msat != total.fees_earned_msat:
        wrong.append(f"{exact(total.fees_paid_msat)} sat of fees were paid, {exact(total.fees_earned_msat)} earned")
    if total.onchain_fees_msat != accounts.miners_fees_msat:
        wrong.append(
            f"{exact(total.onchain_fees_msat)} sat of on-chain fees were paid, "
            f"{exact(accounts.miners_fees_msat)} collected"
        )
    if total.final_msat + accounts.miners_fees_msat != total.put_in_msat:
        there_msat = total.final_msat + accounts.miners_fees_msat
        wrong.append(f"{exact(total.put_in_msat)} sat were put in, {exact(there_msat)} are there")
    if wrong:
        raise DemoFailed("the sums do not agree: " + "; ".join(wrong))


_ROWS: Final = (
    ("put in", "put_in_msat", 1),
    ("sent", "sent_msat", -1),
    ("received", "received_msat", 1),
    ("fees paid", "fees_paid_msat", -1),
    ("fees earned", "fees_earned_msat", 1),
    ("on-chain fees", "onchain_fees_msat", -1),
    ("owns now", "final_msat", 1),
)


def show(screen: Screen, accounts: Accounts) -> None:
    """Show the final table."""
    amount = exact if screen.is_wide else sat
    everybody = [*accounts.nodes.values(), accounts.total]
    rows = [[label, *[amount(sign * getattr(one, field)) for one in everybody]] for label, field, sign in _ROWS]
    screen.table(
        "Accounts, in satoshi",
        ["", *accounts.nodes, "all"],
        rows,
        f"{sat(accounts.total.final_msat)} owned + {sat(accounts.miners_fees_msat)} to the miner"
        f" = {sat(accounts.total.put_in_msat)} put in",
    )
