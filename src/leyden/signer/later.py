"""A signer that answers later, in front of any other: for tests, and as the queue to a signer elsewhere."""

from collections import deque
from typing import final, overload

from leyden.signer.interface import ChannelSigner, OnAnswer
from leyden.signer.requests import (
    AnnouncementSigned,
    Answer,
    ClaimSigned,
    ClosingSigned,
    CommitmentSecretReleased,
    CounterpartyCommitmentSigned,
    HolderCommitmentSigned,
    ReleaseCommitmentSecret,
    Request,
    SignAnnouncement,
    SignClaim,
    SignClosing,
    SignCounterpartyCommitment,
    SignHolderCommitment,
)
from leyden.transactions.keys import ChannelBasepoints


@final
class LateSigner:
    """`ChannelSigner` that queues requests in order and asks `inner` when told to deliver.

    `inner` is asked at delivery, not before: a request that waits has signed and released nothing.
    """

    __slots__ = ("_callback", "_inner", "_queue")

    def __init__(self, inner: ChannelSigner) -> None:
        self._inner = inner
        self._queue: deque[Request] = deque()
        self._callback: OnAnswer | None = None

    def __repr__(self) -> str:
        """Show how many wait."""
        return f"LateSigner({self._inner!r}, waiting={len(self._queue)})"

    @property
    def waiting(self) -> tuple[Request, ...]:
        """The requests without an answer yet, oldest first."""
        return tuple(self._queue)

    def channel_basepoints(self, keys_id: bytes) -> ChannelBasepoints:
        """Return the public keys of a channel, at once."""
        return self._inner.channel_basepoints(keys_id)

    def per_commitment_point(self, keys_id: bytes, commitment_number: int) -> bytes:
        """Return the 33-byte point of our commitment, at once."""
        return self._inner.per_commitment_point(keys_id, commitment_number)

    def on_answer(self, callback: OnAnswer) -> None:
        """Register the one receiver of answers; a second call replaces the first."""
        self._callback = callback
        self._inner.on_answer(callback)

    @overload
    def answer(self, request: SignCounterpartyCommitment) -> CounterpartyCommitmentSigned | None: ...
    @overload
    def answer(self, request: SignHolderCommitment) -> HolderCommitmentSigned | None: ...
    @overload
    def answer(self, request: SignClaim) -> ClaimSigned | None: ...
    @overload
    def answer(self, request: ReleaseCommitmentSecret) -> CommitmentSecretReleased | None: ...
    @overload
    def answer(self, request: SignClosing) -> ClosingSigned | None: ...
    @overload
    def answer(self, request: SignAnnouncement) -> AnnouncementSigned | None: ...
    @overload
    def answer(self, request: Request) -> Answer | None: ...
    def answer(self, request: Request) -> Answer | None:
        """Queue the request and return None."""
        self._queue.append(request)
        return None

    def deliver_next(self) -> bool:
        """Answer the oldest request; return whether there was one.

        Raises: AssertionError when nobody registered for answers; whatever `inner` raises (the request is gone then).
        """
        if not self._queue:
            return False
        callback = self._callback
        assert callback is not None, "register with on_answer before delivering"
        request = self._queue.popleft()
        answer = self._inner.answer(request)
        if answer is not None:
            callback(request.request_id, answer)
        return True

    def deliver_all(self) -> int:
        """Answer all that wait now, oldest first; return how many. Requests made meanwhile stay. Raises as above."""
        count = len(self._queue)
        for _ in range(count):
            self.deliver_next()
        return count

    def forget_all(self) -> None:
        """Drop every waiting request unanswered, as a lost connection to a signer does."""
        self._queue.clear()
