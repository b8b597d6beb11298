"""The scripts of BOLT 3, each a function from keys to bytes.

HTLC scripts of one commitment differ only in the hash and the expiry, so `HtlcScripts` keeps the bytes around them;
the commitment builder joins them itself.
"""

import msgspec

from leyden.bitcoin.script import multisig, p2wpkh_of_key, p2wsh_of_script, push_int, sort_public_keys
from leyden.crypto.hashes import hash160
from leyden.transactions.keys import CommitmentKeys

ANCHOR_CSV_BLOCKS = 16
"""Blocks after which anyone may sweep an anchor."""

_PUSH_KEY = b"\x21"
_ONE_BLOCK_CSV = b"\x51\xb2\x75"  # 1 CHECKSEQUENCEVERIFY DROP


def funding_script(public_key_a: bytes, public_key_b: bytes) -> bytes:
    """Return the 2-of-2 witness script (71 bytes) of the two funding keys (33 bytes each, in any order).

    Spec: BOLT 3, "Funding Transaction Output".
    """
    return multisig(2, sort_public_keys((public_key_a, public_key_b)))


def revocable_script(revocation_public_key: bytes, to_self_delay: int, broadcaster_delayed_public_key: bytes) -> bytes:
    """Return the witness script of the to_local output and of the output of an HTLC transaction.

    Args: keys of 33 bytes; to_self_delay in blocks (0..65535).
    Spec: BOLT 3, "to_local Output" and "HTLC-Timeout and HTLC-Success Transactions".
    """
    return b"".join(
        (
            b"\x63\x21",
            revocation_public_key,
            b"\x67",
            push_int(to_self_delay),
            b"\xb2\x75\x21",
            broadcaster_delayed_public_key,
            b"\x68\xac",
        )
    )


def to_local_script(keys: CommitmentKeys, to_self_delay: int) -> bytes:
    """Return the witness script of the to_local output and of every HTLC transaction of this commitment."""
    return revocable_script(keys.revocation_public_key, to_self_delay, keys.broadcaster_delayed_public_key)


def to_remote_anchors_script(payment_point: bytes) -> bytes:
    """Return the witness script of to_remote with anchors: the key (33 bytes) after one block.

    Spec: BOLT 3, "to_remote Output".
    """
    return _PUSH_KEY + payment_point + b"\xad\x51\xb2"


def to_remote_script_pubkey(payment_point: bytes, anchors: bool) -> bytes:
    """Return the output script of to_remote: P2WSH of the delayed script with anchors, otherwise P2WPKH.

    Spec: BOLT 3, "to_remote Output".
    """
    if anchors:
        return p2wsh_of_script(to_remote_anchors_script(payment_point))
    return p2wpkh_of_key(payment_point)


def anchor_script(funding_public_key: bytes) -> bytes:
    """Return the witness script of the anchor of the side with this funding key (33 bytes).

    Spec: BOLT 3, "to_local_anchor and to_remote_anchor Output (option_anchors)".
    """
    return _PUSH_KEY + funding_public_key + b"\xac\x73\x64" + push_int(ANCHOR_CSV_BLOCKS) + b"\xb2\x68"


class HtlcScripts(msgspec.Struct, frozen=True, gc=False):
    """The constant bytes of the HTLC scripts of one commitment.

    offered:  `offered_prefix + payment_hash160 + offered_suffix`
    received: `received_prefix + payment_hash160 + received_middle + push_int(cltv_expiry) + received_suffix`

    Spec: BOLT 3, "Offered HTLC Outputs" and "Received HTLC Outputs".
    """

    offered_prefix: bytes
    offered_suffix: bytes
    received_prefix: bytes
    received_middle: bytes
    received_suffix: bytes

    def offered(self, payment_hash160: bytes) -> bytes:
        """Return the witness script of an HTLC that the broadcaster offered (`payment_hash160`: 20 bytes)."""
        return self.offered_prefix + payment_hash160 + self.offered_suffix

    def received(self, payment_hash160: bytes, cltv_expiry: int) -> bytes:
        """Return the witness script of an HTLC that the broadcaster received (expiry is a block height)."""
        return b"".join(
            (
                self.received_prefix,
                payment_hash160,
                self.received_middle,
                push_int(cltv_expiry),
                self.received_suffix,
            )
        )


def htlc_scripts(keys: CommitmentKeys, anchors: bool) -> HtlcScripts:
    """Return the constant parts of the HTLC scripts of the commitment with these keys."""
    end = (_ONE_BLOCK_CSV if anchors else b"") + b"\x68"
    # DUP HASH160 <hash of the revocation key> EQUAL IF CHECKSIG ELSE <countersignatory's key> SWAP SIZE 32 EQUAL
    head = b"".join(
        (
            b"\x76\xa9\x14",
            hash160(keys.revocation_public_key),
            b"\x87\x63\xac\x67\x21",
            keys.countersignatory_htlc_public_key,
            b"\x7c\x82\x01\x20\x87",
        )
    )
    # 2 SWAP <broadcaster's key> 2 CHECKMULTISIG
    both = b"\x52\x7c\x21" + keys.broadcaster_htlc_public_key + b"\x52\xae"
    return HtlcScripts(
        offered_prefix=head + b"\x64\x75" + both + b"\x67\xa9\x14",
        offered_suffix=b"\x88\xac\x68" + end,
        received_prefix=head + b"\x63\xa9\x14",
        received_middle=b"\x88" + both + b"\x67\x75",
        received_suffix=b"\xb1\x75\xac\x68" + end,
    )
