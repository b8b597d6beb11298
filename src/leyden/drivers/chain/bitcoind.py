"""`BitcoindChainSource`: a `ChainSource` over bitcoind's JSON-RPC, which the embedded regtest service speaks too."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Final, cast, final

import msgspec

from leyden.base.errors import ChainUnavailable, CommandRejected, DecodeError
from leyden.bitcoin.networks import Network, by_chain_hash
from leyden.bitcoin.tx import MAX_MONEY_SAT, OutPoint, Transaction, txid_to_hex
from leyden.drivers.chain.blocks import BlockReader, parse_hex
from leyden.drivers.chain.fees import bounded_estimate
from leyden.drivers.chain.follow import ChainFollower
from leyden.drivers.chain.http import HttpClient
from leyden.drivers.chain.rpc import (
    ALREADY_IN_CHAIN,
    IN_WARMUP,
    METHOD_NOT_FOUND,
    NOT_FOUND,
    CookieFile,
    CredentialsRefused,
    RpcClient,
    RpcRefused,
    UserPassword,
    member,
)
from leyden.ports.chain import (
    BlockData,
    BlockRef,
    BroadcastResult,
    ChainEvent,
    FeeEstimate,
    OnStatus,
    UnspentOutput,
)

_NO_FEE_LIMIT: Final = 0
_ALREADY_KNOWN: Final = ("txn-already-in-mempool", "txn-already-known", "already in utxo set", "already in block chain")
_TARGET_MAX: Final = 1008
_SAT_PER_BTC: Final = 100_000_000
_OUTPOINTS_PER_CALL: Final = 1000


class BitcoindSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the service is and how to talk to it.

    poll_interval_s: between two looks at the tip. timeout_s: for one call.
    retry_first_s, retry_last_s: the wait after a failure, doubled up to the last.
    """

    host: str = "127.0.0.1"
    port: int
    credentials: UserPassword | CookieFile
    network: Network
    poll_interval_s: float = 0.25
    timeout_s: float = 30.0
    retry_first_s: float = 0.25
    retry_last_s: float = 10.0


@final
class BitcoindChainSource:
    """See the module. `on_status` is called by `follow` alone."""

    def __init__(self, settings: BitcoindSettings, on_status: OnStatus) -> None:
        self._settings = settings
        self._on_status = on_status
        self._last_status: tuple[bool, str] | None = None
        self._http = HttpClient(settings.host, settings.port, settings.timeout_s)
        self._rpc = RpcClient(self._http, settings.credentials)
        self._reader = BlockReader(self._rpc)

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()

    async def check_network(self, network: Network) -> None:
        """Compare the service's genesis block with that of `network`.

        Raises:
            CommandRejected: another network (code `wrong_network`), or credentials refused (`chain_auth_failed`).
            ChainUnavailable: no usable answer.
        """
        try:
            genesis = await self._reader.hash_at(0)
        except CredentialsRefused as error:
            raise CommandRejected(str(error), code="chain_auth_failed") from None
        if genesis == network.chain_hash:
            return
        other = by_chain_hash(genesis) if genesis is not None else None
        name = other.name if other is not None else "an unknown network"
        raise CommandRejected(f"the chain service is on {name}, this node on {network.name}", code="wrong_network")

    async def tip(self) -> BlockRef:
        """Return the last block of the best chain."""
        return await self._reader.tip()

    async def get_block_by_height(self, height: int) -> BlockData | None:
        """Return the block at `height` of the best chain, or None above the tip. Raises as the port says."""
        block_hash = await self._reader.hash_at(height)
        return None if block_hash is None else await self._reader.block(height, block_hash)

    # ------------------------------------------------------------------------------------------------------ following

    async def follow(self, from_height: int, from_hash: bytes) -> AsyncIterator[ChainEvent]:
        """Yield what happens to the best chain from a block on, for ever; see `ports.chain.ChainSource.follow`."""
        settings = self._settings
        follower = ChainFollower(self._reader, BlockRef(from_height, from_hash))
        checked = False
        wait_s = settings.retry_first_s
        while True:
            try:
                if not checked:
                    await self._check_again()
                    checked = True
                events = await follower.step()
            except ChainUnavailable as error:
                # Whatever answers after a failure may be another service.
                checked = False
                self._report(False, str(error))
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, settings.retry_last_s)
                continue
            wait_s = settings.retry_first_s
            self._report(True, "")
            for event in events:
                yield event
            if not events:
                await asyncio.sleep(settings.poll_interval_s)

    async def _check_again(self) -> None:
        try:
            await self.check_network(self._settings.network)
        except CommandRejected as error:
            if error.code != "chain_auth_failed":
                raise
            # A cookie is written anew while the service starts; a password may be put right while we run.
            raise ChainUnavailable(error.what) from None

    def _report(self, ok: bool, why: str) -> None:
        if self._last_status != (ok, why):
            self._last_status = (ok, why)
            self._on_status(ok, why)

    # ------------------------------------------------------------------------------------------------- coins and fees

    async def get_txout(self, outpoint: OutPoint, include_mempool: bool) -> UnspentOutput | None:
        """Return an unspent output, or None when it is spent or unknown."""
        found = await self._rpc.call("gettxout", txid_to_hex(outpoint.txid), outpoint.vout, include_mempool)
        if found is None:
            return None
        value, confirmations = member(found, "value"), member(found, "confirmations")
        value_sat = Decimal(value) * _SAT_PER_BTC if isinstance(value, int | Decimal) else Decimal(-1)
        script_pubkey = parse_hex(member(member(found, "scriptPubKey"), "hex"))
        if not 0 <= value_sat <= MAX_MONEY_SAT or value_sat % 1 or not isinstance(confirmations, int):
            raise ChainUnavailable("chain service: gettxout answers with something else than an output")
        return UnspentOutput(int(value_sat), script_pubkey, confirmations, member(found, "coinbase") is True)

    async def estimate_fee(self, target_blocks: int) -> FeeEstimate:
        """Return a feerate to confirm within `target_blocks` (1 to 1008), bounded both ways, and where it is from."""
        target = min(max(target_blocks, 1), _TARGET_MAX)
        estimate = await self._rpc.call("estimatesmartfee", target, "CONSERVATIVE")
        pool = await self._rpc.call("getmempoolinfo")
        network = self._settings.network
        return bounded_estimate(member(estimate, "feerate"), member(pool, "mempoolminfee"), network)

    # -------------------------------------------------------------------------------------------------------- mempool

    async def mempool_spends(self, outpoints: Sequence[OutPoint]) -> list[Transaction]:
        """Return what in the mempool spends any of these outputs; nothing before Bitcoin Core 24, which cannot tell."""
        txids: dict[str, None] = {}
        for first in range(0, len(outpoints), _OUTPOINTS_PER_CALL):
            asked = [
                {"txid": txid_to_hex(one.txid), "vout": one.vout}
                for one in outpoints[first : first + _OUTPOINTS_PER_CALL]
            ]
            try:
                answer = await self._rpc.call("gettxspendingprevout", asked)
            except RpcRefused as error:
                if error.code == METHOD_NOT_FOUND:
                    return []
                raise
            for entry in cast("list[object]", answer) if isinstance(answer, list) else []:
                txid = member(entry, "spendingtxid")
                # With its index of spends the service also tells those in blocks, which `follow` brings.
                if isinstance(txid, str) and member(entry, "blockhash") is None:
                    txids[txid] = None
        found = [await self._pool_transaction(txid) for txid in txids]
        return [tx for tx in found if tx is not None]

    async def _pool_transaction(self, txid: str) -> Transaction | None:
        try:
            raw = parse_hex(await self._rpc.call("getrawtransaction", txid))
            tx = Transaction.parse(raw)
        except RpcRefused as error:
            if error.code == NOT_FOUND:
                return None  # it was mined, or replaced, since we asked
            raise
        except DecodeError as error:
            raise ChainUnavailable(f"chain service: transaction {txid}: {error}") from None
        if txid_to_hex(tx.txid()) != txid:
            raise ChainUnavailable(f"chain service: another transaction than {txid}")
        return tx

    # ------------------------------------------------------------------------------------------------------ broadcast

    async def broadcast(self, raw_tx: bytes) -> BroadcastResult:
        """Offer a serialised transaction to the network. A refusal is a result, not an error."""
        try:
            await self._rpc.call("sendrawtransaction", raw_tx.hex(), _NO_FEE_LIMIT)
        except RpcRefused as error:
            return _refusal(error)
        return BroadcastResult(accepted=True, already_known=False, reject_reason="")

    async def broadcast_package(self, raw_transactions: Sequence[bytes]) -> BroadcastResult:
        """Offer parents and their child (last) together, so that the child pays for them. A refusal is a result."""
        try:
            result = await self._rpc.call("submitpackage", [raw.hex() for raw in raw_transactions], _NO_FEE_LIMIT)
        except RpcRefused as error:
            return _refusal(error)
        message = member(result, "package_msg")
        if not isinstance(message, str):
            raise ChainUnavailable("chain service: submitpackage answers without a verdict")
        if message == "success":
            return BroadcastResult(accepted=True, already_known=False, reject_reason="")
        results = member(result, "tx-results")
        details = list(cast("dict[str, object]", results).values()) if isinstance(results, dict) else []
        reasons = [why for entry in details if isinstance(why := member(entry, "error"), str)]
        return BroadcastResult(accepted=False, already_known=False, reject_reason=": ".join([message, *reasons]))


def _refusal(error: RpcRefused) -> BroadcastResult:
    """Tell a verdict on a transaction from a service that does not work."""
    if error.code in (IN_WARMUP, METHOD_NOT_FOUND):
        raise error
    known = error.code == ALREADY_IN_CHAIN or any(text in error.message.lower() for text in _ALREADY_KNOWN)
    return BroadcastResult(accepted=known, already_known=known, reject_reason="" if known else error.message)
