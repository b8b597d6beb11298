"""Which lines of LND's log say that something is wrong, and which of them the chain service has no part in."""

import re
from collections import Counter
from typing import Final

OWN_SUBSYSTEMS: Final = {
    "CHAC": "asks our acceptor of channels",
    "CHBU": "backs up",
    "CRTR": "finds routes",
    "HLCK": "looks at the machine",
    "HSWC": "forwards",
    "PEER": "talks to peers",
    "PYDB": "keeps payments",
    "RRPC": "tells its callers of payments",
    "RPCS": "answers its callers: what a piece of work calls for must be there, or the work fails",
    "SRVR": "connects",
}
"""Subsystems that never speak with the chain service, and what each does."""

OWN_WORDS: Final = {
    r"LTND: open .*lnd\.conf: no such file": "it is configured by its command line",
    r"CHFD: Unable to find funding output for shim intent": "it looks for an output before it has chosen one",
    r"BTWL: Transaction \w+ not accepted by mempool: txn-already-(in-mempool|known)": "it publishes twice, to be sure",
    r"SWPR: Estimated fee rate .* exceeds max allowed fee rate": "an anchor is worth less than its way home",
    r"SWPR: Failed to init fee function: .*delta=0": "the same anchor",
    r"SWPR: (Initial broadcast failed|Removing monitor record).*fee rate delta is zero": "the same anchor",
    r"SWPR: (Initial broadcast failed|Removing monitor record).*tx has no output": "the same anchor, at a higher fee",
    r"SWPR: Deadline is \d+ blocks behind current height": "the same anchor, which it never gives up",
    r"SWPR: Failed to publish input": "the same anchor, or an input that the other side was quicker to take",
    r"SWPR: (Fetch tx record for \w+|Failed to handle bump event): tx not found": "its own store is late",
    r"SWPR: (Detected unknown spend of|Input=.* was spent by remote)": "the other LND was quicker, or it forgot",
    r"CNCT: .*local commitment output was swept by remote party": "by a sweep of its own that its store has not yet",
    r"SWPR: [Uu]nable to remove (conflicting sweep tx|descendant transactions)": "it forgets twice",
    r"DISC: ignoring remote ChannelAnnouncement\d for own channel": "the other LND tells it of their channel",
    r"DISC: unable to store the proof for .*: unable to find channel": "an announcement of a channel that is closed",
    r"(DISC|GRDB|GRPH|NANN): .*edge not found": "a policy of a channel that is closed by now",
    r"NTFN: dead epoch stream": "it ends",
}
"""Subsystem and text of other complaints (regular expressions) that are not about the chain service, and why."""

SHOWN_LETTERS: Final = 240
_LINE: Final = re.compile(r"^\S+ \S+ \[(?P<level>WRN|ERR|CRT)\] (?P<subsystem>\w+)(?: \S+\.go:\d+)?: (?P<text>.*)$")
_DENIED: Final = re.compile(
    r"BTWL: Unable to get raw transaction for (?P<asked>\w{64}), err: -5"
    r"|SWPR: Failed to publish tx (?P<sent>\w{64}): insufficient fee"
)
_LONG_HEX: Final = re.compile(r"\b[0-9a-f]{16,}\b")
_NUMBER: Final = re.compile(r"\d+")


def _texts(log: str) -> list[tuple[str, str]]:
    """Return level and `subsystem: text` of the lines that complain, but those of subsystems of their own."""
    matches = [match for line in log.splitlines() if (match := _LINE.match(line))]
    return [
        (match["level"], f"{match['subsystem']}: {match['text']}")
        for match in matches
        if match["subsystem"] not in OWN_SUBSYSTEMS
    ]


def complaints(log: str) -> Counter[str]:
    """Return what the chain service may be the reason of, and how often; numbers and hashes are left out."""
    return Counter(
        f"[{level}] {_NUMBER.sub('9', _LONG_HEX.sub('#', text))[:SHOWN_LETTERS]}"
        for level, text in _texts(log)
        if not _DENIED.match(text) and not any(re.match(known, text) for known in OWN_WORDS)
    )


def denied_txids(log: str) -> set[str]:
    """Return the txids that the chain service did not know or want, which is right if something has replaced them."""
    matches = [match for _, text in _texts(log) if (match := _DENIED.match(text))]
    return {match["asked"] or match["sent"] for match in matches}
