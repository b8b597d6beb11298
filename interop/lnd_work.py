"""Mixed work for two LND and a Leyden on one chain: whatever makes LND ask the chain service for something."""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final, cast, final

from interop.foreign import ForeignNode, OpenRequest
from interop.lnd import LndNode
from interop.scenario import check
from interop.settlement import mine_until
from interop.world import CONFIRMATIONS, FEERATE_PER_KW, MINER_ADDRESS, SAT, World

CHANNEL_SAT: Final = 4_000_000
COINS: Final = 8
PAYMENTS: Final = 10
USABLE_BLOCKS: Final = 3
SAT_PER_BTC: Final = 100_000_000


@final
class Work:
    """The pieces of work, in a circle. nodes: both LND. pieces: how many are done."""

    def __init__(self, world: World, second: ForeignNode, say: Callable[[str], None]) -> None:
        assert isinstance(world.peer, LndNode)
        assert isinstance(second, LndNode)
        self._world = world
        self._first: LndNode = world.peer
        self._second: LndNode = second
        self._say = say
        self._round = 0
        self.nodes = (world.peer, second)
        self.pieces = 0

    async def run(self, until: float) -> None:
        """Work until a time of the event loop's clock. Raises ScenarioFailed."""
        await self._world.rpc("generatetoaddress", COINS, await self._second.new_address())
        await self._world.mine(100)
        while True:
            for piece in self._circle:
                if asyncio.get_running_loop().time() > until:
                    return
                begun = asyncio.get_running_loop().time()
                await piece()
                await self._check_coins()
                self.pieces += 1
                self._say(f"{piece.__name__.strip('_')}: {asyncio.get_running_loop().time() - begun:.1f} s")
            self._round += 1

    @property
    def _circle(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (
            self._pay_with_us,
            self._announced_channel,
            self._forced_close,
            self._wallet,
            self._reorganisation,
            self._restart,
            self._feerates,
            self._zero_conf,
            self._many_coins,
        )

    # --- the pieces ---------------------------------------------------------------------------------------------------

    async def _pay_with_us(self) -> None:
        """A channel with Leyden, opened in turn by either, paid through both ways, closed together."""
        world = self._world
        pair = await world.open(by_us=self._round % 2 == 0, push_msat=CHANNEL_SAT // 2 * SAT)
        for _ in range(PAYMENTS):
            await world.pay_peer(10_000_000)
            await world.peer_pays(7_000_000)
        await world.until_quiet(pair)
        if self._round % 2:
            await self._first.close_channel(pair.funding_outpoint)
        else:
            await world.us.api.close(pair.channel_id)
        await world.until_in_mempool(1)
        await self._resolve()

    async def _announced_channel(self) -> None:
        """Announced, so that LND asks for the funding output; closed together by the other side."""
        outpoint = await self._open(announce=True)
        await self._pay_each_other()
        await self._world.mine(CONFIRMATIONS - USABLE_BLOCKS)

        async def announced() -> bool:
            return all([outpoint in await node.wallet.announced() for node in (self._first, self._second)])

        await self._world.until(announced, f"both LND have announced {outpoint}")
        await self._second.close_channel(outpoint)
        await self._world.until_in_mempool(1)
        await self._resolve()

    async def _forced_close(self) -> None:
        """A payment each way is pending; one of them is claimed on chain, the other comes back by its timeout."""
        outpoint = await self._open()
        preimage = secrets.token_bytes(32)
        claimed = await self._hold(self._first, self._second, preimage)
        failed = await self._hold(self._second, self._first, secrets.token_bytes(32))
        closer = (self._first, self._second)[self._round % 2]
        await closer.close_channel(outpoint, force=True)
        await self._world.until_in_mempool(1)
        await self._second.settle(preimage.hex())
        await self._resolve()
        paid = await self._world.their_payment(self._first, claimed)
        check(paid.status == "succeeded", f"the payment that was claimed on chain is {paid.status}")
        lost = await self._world.their_payment(self._second, failed)
        check(lost.status == "failed", f"the payment that timed out on chain is {lost.status}")

    async def _wallet(self) -> None:
        """A payment between wallets; its change pays for it with a child, which is then replaced by a dearer one."""
        address = await self._second.new_address()
        before = await self._second.onchain_sat()
        txid = await self._first.send_onchain(address, 1_000_000)
        await self._world.until_in_mempool(1)
        wallet = self._first.wallet
        (change,) = [outpoint for outpoint in await wallet.unconfirmed_sat() if outpoint.startswith(txid)]
        await wallet.bump_fee(change, 20)
        child = await self._replacement([txid])
        await wallet.bump_fee(change, 40)
        await self._replacement([txid, child])
        await self._world.mine(1)
        await self._world.until(lambda: self._has(self._second, before + 1_000_000), "the payee's wallet has the coins")

    async def _reorganisation(self) -> None:
        """Three blocks are undone and five others come; a payment in the last is in no block, then in one again.

        In the last, because LND's wallet undoes no more: its client of bitcoind names the blocks before it wrongly
        (`BitcoindClient.reorg` of btcwallet: each time the hash of one block further down).
        """
        world = self._world
        before = await self._second.onchain_sat()
        await world.mine(2)
        await self._first.send_onchain(await self._second.new_address(), 500_000)
        await world.until_in_mempool(1)
        await world.mine(1)
        await world.until(lambda: self._has(self._second, before + 500_000), "the payee's wallet has the coins")
        height = await world.height()
        await world.rpc("invalidateblock", await world.rpc("getblockhash", height - 2))
        for _ in range(5):
            await world.rpc("generateblock", MINER_ADDRESS, [])
        await world.until_seen()
        await world.until(lambda: self._has(self._second, before), "the payee's wallet has lost them again")
        await world.until_in_mempool(1)
        await world.mine(1)
        await world.until(lambda: self._has(self._second, before + 500_000), "the payee's wallet has them once more")

    async def _restart(self) -> None:
        """Blocks come while LND is down: stopped in order, and killed."""
        world = self._world
        before = await self._second.onchain_sat()
        address = await self._second.new_address()
        await (self._second.stop() if self._round % 2 else self._second.kill())
        await self._first.send_onchain(address, 700_000)
        await world.until_in_mempool(1)
        await world.mine(5)
        await self._second.start()
        await world.until_seen()
        await world.until(lambda: self._has(self._second, before + 700_000), "what came meanwhile is in the wallet")

    async def _feerates(self) -> None:
        """What the chain service estimates is what LND takes, from the relay minimum to a lot."""
        world = self._world
        for feerate_per_kw in (FEERATE_PER_KW * 40, 253, FEERATE_PER_KW):
            await world.set_feerate(feerate_per_kw)
            told = await self._first.wallet.estimated_feerate_per_kw(2 + self._round % 5)
            check(abs(told - feerate_per_kw) <= 1, f"LND estimates {told} sat/kw, the chain says {feerate_per_kw}")

    async def _zero_conf(self) -> None:
        """A channel that is used before its first block, then closed."""
        await self._second.trust_peer((await self._first.info()).node_id)
        outpoint = await self._open(zero_conf=True)
        await self._pay_each_other()
        await self._world.mine(CONFIRMATIONS)

        async def has_its_place() -> bool:
            sides = [await self._world.their_channel(node, outpoint) for node in (self._first, self._second)]
            return all(side is not None and side.is_usable and side.short_channel_id for side in sides)

        # Each puts the channel into its graph once more under its true id, and asks for its output: it must be there.
        await self._world.until(has_its_place, f"both LND know the place of {outpoint} in the chain")
        await self._first.close_channel(outpoint)
        await self._world.until_in_mempool(1)
        await self._resolve()

    async def _many_coins(self) -> None:
        """Forty outputs in one transaction, and five more transactions that wait for the same block."""
        world = self._world
        await self._first.wallet.send_many({await self._second.new_address(): 30_000 + number for number in range(40)})
        await world.until_in_mempool(1)
        for _ in range(5):
            count = len(await world.mempool())
            await self._second.send_onchain(await self._first.new_address(), 40_000_000)
            await world.until_in_mempool(count + 1)
        await world.mine(1)

    # --- what they are made of ----------------------------------------------------------------------------------------

    async def _open(self, *, announce: bool = False, zero_conf: bool = False) -> str:
        """Open a channel between the two LND, half of it on each side, and wait until both can use it."""
        second = await self._second.info()
        await self._first.connect(second.node_id, self._second.port)
        outpoint = await self._first.open_channel(
            OpenRequest(
                node_id=second.node_id,
                amount_sat=CHANNEL_SAT,
                push_msat=CHANNEL_SAT // 2 * SAT,
                announce=announce,
                zero_conf=zero_conf,
                scid_alias=zero_conf,
            )
        )
        await self._world.until_in_mempool(1)
        if not zero_conf:
            await self._world.mine(USABLE_BLOCKS)

        async def usable() -> bool:
            sides = [await self._world.their_channel(node, outpoint) for node in (self._first, self._second)]
            return all(side is not None and side.is_usable for side in sides)

        await self._world.until(usable, f"both LND can use {outpoint}")
        return outpoint

    async def _pay_each_other(self) -> None:
        for payer, payee in ((self._first, self._second), (self._second, self._first)) * (PAYMENTS // 2):
            invoice = await payee.create_invoice(3_000_000, "work")
            payment = await self._world.their_payment(payer, await payer.pay(invoice))
            check(payment.status == "succeeded", f"{payer.name} -> {payee.name}: {payment.status}: {payment.failure}")

    async def _hold(self, payer: LndNode, payee: LndNode, preimage: bytes) -> str:
        payment_hash = hashlib.sha256(preimage).hexdigest()
        await payer.pay(await payee.create_invoice(50_000_000, "held", payment_hash=payment_hash))
        await self._world.until(lambda: payee.held(payment_hash), f"{payee.name} holds a payment")
        return payment_hash

    async def _resolve(self) -> None:
        """Mine until nothing of a closed channel is open and no transaction waits."""

        async def missing() -> str:
            waiting = await self._first.pending_sweeps() + await self._second.pending_sweeps()
            pool = len(await self._world.mempool())
            return f"{waiting} channels and {pool} transactions wait" if waiting or pool else ""

        await mine_until(self._world, missing)
        await self._world.mine(CONFIRMATIONS)

    async def _replacement(self, known: list[str]) -> str:
        """Wait for a payment's second transaction that is not known yet; return its txid."""

        async def there() -> bool:
            pool = await self._world.mempool()
            return len(pool) == 2 and not set(pool) <= set(known)

        await self._world.until(there, "the payment has another child")
        (txid,) = set(await self._world.mempool()) - set(known)
        return txid

    @staticmethod
    async def _has(node: LndNode, confirmed_sat: int) -> bool:
        return await node.onchain_sat() == confirmed_sat

    async def _check_coins(self) -> None:
        """Every confirmed coin of LND is one of the chain, of the same value, and their sum is its balance."""
        for node in (self._first, self._second):
            coins = await node.wallet.coins_sat()
            for outpoint, value_sat in coins.items():
                txid, _, index = outpoint.partition(":")
                output = cast("dict[str, Any] | None", await self._world.rpc("gettxout", txid, int(index), False))
                there_sat = 0 if output is None else int(Decimal(output["value"]) * SAT_PER_BTC)
                check(there_sat == value_sat, f"{node.name}: {outpoint} has {there_sat} sat, LND says {value_sat}")
            balance_sat = await node.onchain_sat()
            check(balance_sat == sum(coins.values()), f"{node.name}: {balance_sat} sat are not the sum of {coins}")
