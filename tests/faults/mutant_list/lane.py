"""Broken versions of the fast lane: what is decided before there is an object of it."""

from tests.faults.mutant_list.mutant import CALM, POWER, QUICK, SAFE, Mutant, one
from tests.faults.patching import Patch

_LANE = "pyrt.fast_lane"
_SHELL = "pyrt.live.shell"
_WRITE = "            self._appended = self.journal.append_record(Kind.INTENDED, {}, Sync.BEFORE_ACT, now.venue)\n"
_PROOF = "            if codec.encode(fact) != (Kind.INTENDED, self._ahead):\n"

LANE: tuple[Mutant, ...] = (
    one(
        "lane-waits-for-nothing",
        "an order of the fast lane leaves before its record is durable",
        _SHELL,
        "        if self._journal(fact, sync, now.venue) and sync is Sync.BEFORE_ACT:\n",
        "        decided = bool(self._ahead)\n"
        "        if self._journal(fact, sync, now.venue) and sync is Sync.BEFORE_ACT and not decided:\n",
        POWER,
        SAFE,
    ),
    one(
        "lane-writes-nothing",
        "the fast lane's record is taken for written, and is not",
        _SHELL,
        _WRITE.format("record"),
        "            self._appended = self._appended\n",
        POWER,
        SAFE,
    ),
    Mutant(
        "lane-another-record",
        "the record of the fast lane has another quantity than the order, and nobody looks",
        (
            Patch(
                _SHELL,
                _WRITE.format("record"),
                "            other = bytearray(record)\n"
                "            other[48:56] = (2 * int.from_bytes(other[48:56], 'little')).to_bytes(8, 'little')\n"
                + _WRITE.format("bytes(other)"),
            ),
            Patch(_SHELL, _PROOF, "            if False:\n"),
        ),
        CALM,
        SAFE,
    ),
    one(
        "lane-decides-twice",
        "what the fast lane decided is decided again",
        _LANE,
        "            self._manager.grant(key)\n",
        "            pass\n",
        QUICK,
        SAFE,
    ),
    one(
        "lane-keeps-the-number",
        "the fast lane is not told that a number was given",
        _LANE,
        "            self._risk.open(now.venue, number)\n",
        "            self._risk.open(now.venue, max(number - 1, 0))\n",
        QUICK,
        SAFE,
    ),
)
