"""The channel of BOLT 3, Appendices C and F, as values."""

import json
from pathlib import Path
from typing import Any

from leyden.bitcoin.tx import OutPoint, txid_from_hex
from leyden.crypto.ec import public_key, signature_from_der
from leyden.crypto.hashes import sha256
from leyden.crypto.keys import derive_secret_key
from leyden.transactions.keys import ChannelBasepoints, CommitmentKeys, derive_commitment_keys
from leyden.transactions.obscured import obscuring_factor
from leyden.transactions.scripts import funding_script
from leyden.transactions.types import CommitmentHtlc, CommitmentParameters, make_commitment_htlc

VECTORS = Path(__file__).parent.parent / "vectors" / "bolt03"


def load(name: str) -> Any:
    """Return the content of one vector file."""
    return json.loads((VECTORS / f"{name}.json").read_text())


APPENDIX_C = load("appendix-c-commitments-static-remotekey")
APPENDIX_F = load("appendix-f-commitments-anchors")
PARAMS = APPENDIX_C["params"]


def secret(name: str) -> bytes:
    """Return a secret of the file; it carries the 01 of the compressed WIF form at its end."""
    raw = bytes.fromhex(PARAMS[name])
    assert len(raw) == 33
    assert raw[32] == 1
    return raw[:32]


def signature(der_hex: str) -> bytes:
    """Return the compact form of a signature of the files."""
    return signature_from_der(bytes.fromhex(der_hex))


LOCAL_FUNDING_SECRET = secret("local_funding_privkey")
REMOTE_FUNDING_SECRET = secret("remote_funding_privkey")
LOCAL_PAYMENT_SECRET = secret("local_payment_basepoint_secret")
REMOTE_PAYMENT_SECRET = secret("remote_payment_basepoint_secret")
PER_COMMITMENT_POINT = public_key(secret("local_per_commitment_secret"))

# The vectors use the payment basepoints as HTLC basepoints too.
LOCAL = ChannelBasepoints(
    funding_public_key=public_key(LOCAL_FUNDING_SECRET),
    revocation_basepoint=public_key(bytes(31) + b"\x07"),  # plays no part in the local commitment
    payment_basepoint=public_key(LOCAL_PAYMENT_SECRET),
    delayed_payment_basepoint=public_key(secret("local_delayed_payment_basepoint_secret")),
    htlc_basepoint=public_key(LOCAL_PAYMENT_SECRET),
)
REMOTE = ChannelBasepoints(
    funding_public_key=public_key(REMOTE_FUNDING_SECRET),
    revocation_basepoint=public_key(secret("remote_revocation_basepoint_secret")),
    payment_basepoint=public_key(REMOTE_PAYMENT_SECRET),
    delayed_payment_basepoint=public_key(bytes(31) + b"\x08"),  # plays no part either
    htlc_basepoint=public_key(REMOTE_PAYMENT_SECRET),
)
LOCAL_HTLC_SECRET = derive_secret_key(LOCAL_PAYMENT_SECRET, PER_COMMITMENT_POINT)
REMOTE_HTLC_SECRET = derive_secret_key(REMOTE_PAYMENT_SECRET, PER_COMMITMENT_POINT)
KEYS: CommitmentKeys = derive_commitment_keys(LOCAL, REMOTE, PER_COMMITMENT_POINT)


def parameters(*, anchors: bool, dust_limit_sat: int) -> CommitmentParameters:
    """Return the local side's parameters; the local node opened the channel."""
    return CommitmentParameters(
        funding_outpoint=OutPoint(txid_from_hex(PARAMS["funding_tx_id"]), PARAMS["funding_output_index"]),
        funding_value_sat=PARAMS["funding_amount_satoshi"],
        funding_script=funding_script(LOCAL.funding_public_key, REMOTE.funding_public_key),
        obscuring_factor=obscuring_factor(LOCAL.payment_basepoint, REMOTE.payment_basepoint),
        to_self_delay=PARAMS["local_delay"],
        dust_limit_sat=dust_limit_sat,
        anchors=anchors,
        opener_is_broadcaster=True,
    )


def preimage(htlc_id: int) -> bytes:
    """Return the payment preimage of one of the seven HTLCs."""
    return bytes.fromhex(APPENDIX_C["htlcs"][htlc_id]["payment_preimage"])


def htlc(htlc_id: int) -> CommitmentHtlc:
    """Return one of the seven HTLCs as the local commitment sees it."""
    row = APPENDIX_C["htlcs"][htlc_id]
    assert row["id"] == htlc_id
    return make_commitment_htlc(
        htlc_id,
        row["direction"] == "local->remote",
        row["amount_msat"],
        sha256(preimage(htlc_id)),
        row["expiry"],
    )
