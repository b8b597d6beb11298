"""Who paid for each transaction of the demo, and who took each output of a channel: read from the chain alone.

What is known besides the blocks: the scripts of each node's wallet, and which output funds which channel. A node that
spends or is paid by a transaction is the one that published it. Of a first stage that is signed whole, and pays to
nobody's wallet yet, it is the one who takes its output after the delay, or the other one than took it with the
revocation key.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias, final

import msgspec

from leyden.bitcoin.script import witness_program
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut, txid_to_hex
from leyden.crypto.hashes import hash160
from leyden.demo.errors import DemoFailed
from leyden.transactions.fees import ANCHOR_VALUE_SAT

FIRST_SUBSIDY_SAT: Final = 5_000_000_000
_HALVING_BLOCKS: Final = 150
_KEY_PROGRAM_BYTES: Final = 20

FeeKind: TypeAlias = Literal["open", "close", "claim"]
OutputKind: TypeAlias = Literal["to_local", "to_remote", "anchor", "offered_htlc", "received_htlc", "second_stage"]
"""As whoever published the commitment sees it."""


class Channel(msgspec.Struct, frozen=True):
    """A channel of the demo. funding: the output that it is."""

    opener: str
    other: str
    funding: OutPoint

    def peer_of(self, name: str) -> str:
        """Return the other one of the two."""
        return self.other if name == self.opener else self.opener


class PaidFee(msgspec.Struct, frozen=True):
    """A transaction in a block. from_coins: of its payer's wallet, not of a channel."""

    height: int
    txid: str
    kind: FeeKind
    channel: str
    payer: str
    fee_sat: int
    from_coins: bool


class Taken(msgspec.Struct, frozen=True):
    """An output of a commitment, or of its second stage, that a transaction in a block has spent. by: its publisher."""

    channel: str
    outpoint: str
    kind: OutputKind
    value_sat: int
    by: str
    by_revocation: bool


@final
class Ledger:
    """The whole chain, added up.

    fees: of every transaction but coinbases. owned_sat: unspent outputs to each wallet. anchors_sat: what each node
    got from anchors, less what it put into them. left_sat: anchors that are unspent. miners_sat: what coinbases took
    above the subsidy.
    """

    def __init__(
        self,
        blocks: Sequence[Sequence[Transaction]],
        owner_of: Callable[[bytes], str | None],
        channels: Sequence[Channel],
    ) -> None:
        """blocks: from height 1 on, each with its coinbase first. owner_of: the node whose wallet has a script.

        Raises DemoFailed when nobody, or more than one, can be said to have published a transaction.
        """
        self.fees: list[PaidFee] = []
        self.taken: list[Taken] = []
        self.owned_sat: dict[str, int] = {}
        self.anchors_sat: dict[str, int] = {}
        self.left_sat = 0
        self.miners_sat = 0
        self._owner_of = owner_of
        self._fundings = {one.funding: one for one in channels}
        self._outputs: dict[OutPoint, TxOut] = {}
        self._spenders: dict[OutPoint, Transaction] = {}
        self._channel_outputs: dict[OutPoint, tuple[Channel, bool]] = {}
        self._read(blocks)
        self._attribute(blocks)
        self._sum_up()

    def _read(self, blocks: Sequence[Sequence[Transaction]]) -> None:
        for height, transactions in enumerate(blocks, 1):
            for transaction in transactions:
                txid = transaction.txid()
                for index, output in enumerate(transaction.outputs):
                    self._outputs[OutPoint(txid, index)] = output
                for one in transaction.inputs:
                    self._spenders[one.prevout] = transaction
            collected_sat = sum([output.value_sat for output in transactions[0].outputs])
            self.miners_sat += collected_sat - (FIRST_SUBSIDY_SAT >> height // _HALVING_BLOCKS)

    def _attribute(self, blocks: Sequence[Sequence[Transaction]]) -> None:
        for height, transactions in enumerate(blocks, 1):
            for transaction in transactions[1:]:
                kind, channel, payer = self._payer_of(transaction)
                fee_sat = self._spent_sat(transaction) - sum([output.value_sat for output in transaction.outputs])
                from_coins = any(self._owner_of_input(one) for one in transaction.inputs)
                txid = txid_to_hex(transaction.txid())
                self.fees.append(PaidFee(height, txid, kind, name_of(channel), payer, fee_sat, from_coins))
                if kind == "claim":
                    self.taken += self._taken_by(transaction, payer)

    def _payer_of(self, transaction: Transaction) -> tuple[FeeKind, Channel, str]:
        """Sort a transaction, and note those of its outputs that are a channel's."""
        txid = transaction.txid()
        made = [OutPoint(txid, index) for index in range(len(transaction.outputs))]
        for one in transaction.inputs:
            closed = self._fundings.get(one.prevout)
            if closed is not None:
                self._note(made, closed, is_second_stage=False)
                return "close", closed, closed.opener
        for outpoint in made:
            if outpoint in self._fundings:
                return "open", self._fundings[outpoint], self._publisher_of(transaction)
        channel = self._channel_of(transaction)
        self._note(made, channel, is_second_stage=True)
        return "claim", channel, self._publisher_of(transaction)

    def _note(self, made: list[OutPoint], channel: Channel, *, is_second_stage: bool) -> None:
        for outpoint in made:
            if self._owner_of(self._outputs[outpoint].script_pubkey) is None:
                self._channel_outputs[outpoint] = (channel, is_second_stage)

    def _channel_of(self, transaction: Transaction) -> Channel:
        for one in transaction.inputs:
            if one.prevout in self._channel_outputs:
                return self._channel_outputs[one.prevout][0]
        raise DemoFailed(f"{txid_to_hex(transaction.txid())} is of no channel, and nobody was asked for it")

    def _publisher_of(self, transaction: Transaction) -> str:
        inputs = [self._owner_of_input(one) for one in transaction.inputs]
        outputs = [self._owner_of(output.script_pubkey) for output in transaction.outputs]
        names = list(dict.fromkeys([name for name in (*inputs, *outputs) if name is not None]))
        if len(names) > 1:
            raise DemoFailed(f"{txid_to_hex(transaction.txid())} is of {' and '.join(names)}: who pays its fee?")
        return names[0] if names else self._publisher_of_first_stage(transaction)

    def _publisher_of_first_stage(self, transaction: Transaction) -> str:
        outpoint = OutPoint(transaction.txid(), 0)
        spender = self._spenders.get(outpoint)
        if spender is None:
            raise DemoFailed(f"nobody has taken {outpoint}: who published it?")
        taker = self._publisher_of(spender)
        (spend,) = [one for one in spender.inputs if one.prevout == outpoint]
        return self._channel_of(transaction).peer_of(taker) if is_by_revocation(spend) else taker

    def _taken_by(self, transaction: Transaction, name: str) -> list[Taken]:
        found: list[Taken] = []
        for one in transaction.inputs:
            if one.prevout not in self._channel_outputs:
                continue
            channel, is_second_stage = self._channel_outputs[one.prevout]
            output = self._outputs[one.prevout]
            kind = "second_stage" if is_second_stage else kind_of(output, one)
            found.append(Taken(name_of(channel), str(one.prevout), kind, output.value_sat, name, is_by_revocation(one)))
        return found

    def _sum_up(self) -> None:
        for outpoint, output in self._outputs.items():
            owner = self._owner_of(output.script_pubkey)
            if owner is not None and outpoint not in self._spenders:
                self.owned_sat[owner] = self.owned_sat.get(owner, 0) + output.value_sat
        for outpoint, (channel, is_second_stage) in self._channel_outputs.items():
            if not is_second_stage and self._outputs[outpoint].value_sat == ANCHOR_VALUE_SAT:
                self._add_anchor(channel.opener, -ANCHOR_VALUE_SAT)
                if outpoint not in self._spenders:
                    self.left_sat += ANCHOR_VALUE_SAT
            elif outpoint not in self._spenders:
                raise DemoFailed(f"nobody has taken {outpoint} of {name_of(channel)}")
        for one in self.taken:
            if one.kind == "anchor":
                self._add_anchor(one.by, one.value_sat)

    def _add_anchor(self, name: str, value_sat: int) -> None:
        self.anchors_sat[name] = self.anchors_sat.get(name, 0) + value_sat

    def _owner_of_input(self, one: TxIn) -> str | None:
        return self._owner_of(self._outputs[one.prevout].script_pubkey)

    def _spent_sat(self, transaction: Transaction) -> int:
        return sum([self._outputs[one.prevout].value_sat for one in transaction.inputs])

    def fees_sat(self, name: str, kind: FeeKind) -> int:
        """Return what a node has paid for transactions of one kind."""
        return sum([one.fee_sat for one in self.fees if (one.payer, one.kind) == (name, kind)])


def name_of(channel: Channel) -> str:
    """Return how the demo calls a channel."""
    return f"{channel.opener}-{channel.other}"


def kind_of(output: TxOut, spend: TxIn) -> OutputKind:
    """Return what an output of a commitment is, by its script, which the witness that spends it shows.

    Spec: BOLT 3, "Commitment Transaction Outputs".
    """
    program = witness_program(output.script_pubkey)
    script = spend.witness[-1]
    is_of_a_key = program is not None and len(program[1]) == _KEY_PROGRAM_BYTES
    if is_of_a_key or script.endswith(b"\xad\x51\xb2"):
        return "to_remote"
    if script.endswith(b"\xac\x73\x64\x60\xb2\x68"):
        return "anchor"
    if script.startswith(b"\x63\x21"):
        return "to_local"
    # OP_CHECKLOCKTIMEVERIFY OP_DROP OP_CHECKSIG OP_ENDIF: whoever offered it has it back after its expiry.
    return "received_htlc" if b"\xb1\x75\xac\x68" in script[-8:] else "offered_htlc"


def is_by_revocation(spend: TxIn) -> bool:
    """Return whether an input uses the revocation key.

    Spec: BOLT 5, "Revoked Transaction Close Handling"; the scripts are BOLT 3's.
    """
    witness = spend.witness
    if len(witness) != 3:
        return False
    if witness[2].startswith(b"\x63\x21"):
        return witness[1] == b"\x01"
    return witness[2].startswith(b"\x76\xa9\x14") and witness[2][3:23] == hash160(witness[1])
