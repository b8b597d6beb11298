"""Pay an invoice, once, and know what to do when it does not work.

`payment_id` is the payer's own name for the payment. It is what makes repeating safe: the same id again is the same
payment, also after a crash and also when the first call was not answered.
"""

import asyncio
import hashlib
import sys
from pathlib import Path

import leyden


async def pay(node: leyden.NodeControl, invoice: str, order: str) -> leyden.PaymentView | None:
    """Pay an invoice for an order and tell how it went; None when it was refused before anything was sent."""
    payment_id = hashlib.sha256(order.encode()).hexdigest()
    try:
        await node.pay(invoice, payment_id=payment_id, deadline_seconds=30)
        payment = await node.wait_payment(payment_id, timeout_seconds=60)
    except leyden.CommandRejected as refused:
        # Nothing was done. `code` is for programs: expired_invoice, already_paid, wrong_network, ...
        print(f"refused ({refused.code}): {refused}")
        return None
    match payment.status:
        case "succeeded":
            print(f"paid {payment.amount_msat} msat, fee {payment.fee_msat} msat, proof {payment.preimage}")
        case "failed":
            # A failure is a value: why, where, and what can be done. Nothing is in flight any more.
            where = "" if payment.failing_hop is None else f" at hop {payment.failing_hop} ({payment.failure_name})"
            print(f"failed: {payment.reason}{where}: {payment.advice}")
        case "pending":
            # Still under way. Never pay with another payment_id now: ask again for this one.
            print(f"still under way with {payment.in_flight_msat} msat; ask again for {payment_id}")
    return payment


async def main(data_dir: Path, invoice: str, order: str) -> None:
    """Pay with the node that runs in `data_dir`, over its socket; an embedded `leyden.Node` has the same methods."""
    await pay(leyden.async_control(data_dir / "api.sock"), invoice, order)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
