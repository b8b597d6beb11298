"""Scripts, read back operation by operation; their bytes are checked by the commitments of BOLT 3's appendices."""

from leyden.bitcoin.script import operations, p2wpkh_of_key, p2wsh_of_script, script_num
from leyden.crypto.hashes import hash160
from leyden.transactions.scripts import (
    anchor_script,
    funding_script,
    htlc_scripts,
    revocable_script,
    to_local_script,
    to_remote_anchors_script,
    to_remote_script_pubkey,
)
from tests.transactions.bolt03_vectors import APPENDIX_C, KEYS, PARAMS

CSV, CLTV, DROP, CHECKSIG, IF, NOTIF, ELSE, ENDIF = 0xB2, 0xB1, 0x75, 0xAC, 0x63, 0x64, 0x67, 0x68
DUP, HASH160, EQUAL, EQUALVERIFY, SWAP, SIZE, MULTISIG = 0x76, 0xA9, 0x87, 0x88, 0x7C, 0x82, 0xAE
HASH = b"\x22" * 20


def read(script: bytes) -> list[bytes | int]:
    """Return pushes as bytes and everything else as opcode."""
    return [opcode if data is None else data for opcode, data in operations(script)]


def test_funding_script_sorts_its_keys() -> None:
    """Both sides must make the same output whichever key they hold."""
    local, remote = KEYS.broadcaster_funding_public_key, KEYS.countersignatory_funding_public_key
    assert funding_script(local, remote) == funding_script(remote, local)
    assert funding_script(local, remote).hex() == PARAMS["funding_witness_script"]


def test_to_local_pays_at_once_to_revocation_and_later_to_the_broadcaster() -> None:
    """Punishment rests on which key stands in which branch."""
    script = to_local_script(KEYS, 144)
    assert script.hex() == APPENDIX_C["tests"][0]["to_local_witness_script"]
    assert read(script) == [
        IF, KEYS.revocation_public_key, ELSE, script_num(144), CSV, DROP, KEYS.broadcaster_delayed_public_key, ENDIF,
        CHECKSIG,
    ]  # fmt: skip


def test_small_delay_is_pushed_by_opcode() -> None:
    """MINIMALDATA makes any other push of 1 to 16 unspendable by policy."""
    key_a, key_b = KEYS.revocation_public_key, KEYS.broadcaster_delayed_public_key
    assert read(revocable_script(key_a, 6, key_b))[3] == 0x56
    assert read(revocable_script(key_a, 0, key_b))[3] == b""
    assert read(revocable_script(key_a, 65535, key_b))[3] == b"\xff\xff\x00"


def test_to_remote_waits_one_block_with_anchors_and_is_p2wpkh_without() -> None:
    """Without the delay, an unconfirmed child could pin a commitment that relies on its anchors."""
    key = KEYS.countersignatory_payment_point
    script = to_remote_anchors_script(key)
    assert read(script) == [key, 0xAD, 0x51, CSV]
    assert to_remote_script_pubkey(key, True) == p2wsh_of_script(script)
    assert to_remote_script_pubkey(key, False) == p2wpkh_of_key(key)


def test_anchor_is_open_to_anyone_after_sixteen_blocks() -> None:
    """Otherwise unspent anchors stay in the UTXO set for ever."""
    key = KEYS.broadcaster_funding_public_key
    assert read(anchor_script(key)) == [key, CHECKSIG, 0x73, NOTIF, 0x60, CSV, ENDIF]


def test_htlc_scripts_give_each_branch_to_its_owner() -> None:
    """The two directions differ in who needs the preimage and who waits."""
    head: list[bytes | int] = [
        DUP, HASH160, hash160(KEYS.revocation_public_key), EQUAL, IF, CHECKSIG, ELSE,
        KEYS.countersignatory_htlc_public_key, SWAP, SIZE, b"\x20", EQUAL,
    ]  # fmt: skip
    both: list[bytes | int] = [0x52, SWAP, KEYS.broadcaster_htlc_public_key, 0x52, MULTISIG]
    for anchors in (False, True):
        scripts = htlc_scripts(KEYS, anchors)
        end: list[bytes | int] = [ENDIF, 0x51, CSV, DROP, ENDIF] if anchors else [ENDIF, ENDIF]
        assert read(scripts.offered(HASH)) == [
            *head, NOTIF, DROP, *both, ELSE, HASH160, HASH, EQUALVERIFY, CHECKSIG, *end,
        ]  # fmt: skip
        assert read(scripts.received(HASH, 800_000)) == [
            *head, IF, HASH160, HASH, EQUALVERIFY, *both, ELSE, DROP, script_num(800_000), CLTV, DROP, CHECKSIG, *end,
        ]  # fmt: skip
