"""Broken versions of the journal."""

# ruff: noqa: E501 -- quoted source keeps its lines

from tests.faults.mutant_list.mutant import CALM, LONG_LIVES, POWER, SAFE, Mutant, net, one
from tests.faults.patching import Patch

_JOURNAL = "pyrt.journal.journal"
_SEGMENTS = "pyrt.journal.segments"
_SHELL = "pyrt.live.shell"

JOURNAL: tuple[Mutant, ...] = (
    one(
        "header-not-synced",
        "a new segment's header is not on the disk when it is used",
        _SEGMENTS,
        "        _write_at_start(fd, pack_header(header))\n        sync_file(fd)\n",
        "        _write_at_start(fd, pack_header(header))\n",
        POWER,
        SAFE,
    ),
    one(
        "name-not-synced",
        "a new segment's name is not on the disk when it is used",
        _SEGMENTS,
        "        prepared.rename(target)\n        sync_directory(directory)\n",
        "        prepared.rename(target)\n",
        POWER,
        SAFE,
    ),
    one(
        "short-write-taken-as-whole",
        "a short write of a header counts as a whole one",
        _SEGMENTS,
        "    while done < len(data):  # a short write is legal\n",
        "    if done < len(data):\n",
        {**POWER, "power": 0.0},
        SAFE,
    ),
    one(
        "tail-released-too-early",
        "the hole behind the last record begins in it",
        _JOURNAL,
        "begin = -(-end // 4096) * 4096",
        "begin = end // 4096 * 4096",
        {**POWER, "power": 0.5},
        SAFE,
    ),
    one(
        "tail-not-synced",
        "what a killed process wrote counts before it is on the disk",
        _JOURNAL,
        "                segments.sync_segment(directory, len(self._ends))",
        "                pass",
        {**POWER, "power": 0.5},
        SAFE,
    ),
    one(
        "snapshot-not-synced",
        "a snapshot is anchored before it is on the disk",
        "pyrt.journal.snapshots",
        "        os.fsync(fd)\n",
        "",
        {**LONG_LIVES, "power": 1.0},
        SAFE,
    ),
    one(
        "cancels-end-with-the-journal",
        "the journal failed, and what works at the venue is left there",
        _SHELL,
        "        elif isinstance(command, Cancel):\n            broker.cancel(command)\n",
        "        elif isinstance(command, Cancel):\n            self._unjournaled or broker.cancel(command)\n",
        net({**CALM, "pace": 0.05}, disk_error=0.01),
        SAFE,
    ),
    Mutant(
        "trades-on-without-a-journal",
        "the journal failed, and orders leave all the same",
        (
            Patch(
                _SHELL,
                '        if self._unjournaled:\n            self._refuse(command, "the journal has failed")\n            return\n',
                "",
            ),
            Patch(
                _SHELL,
                '        self.put(Kill(level="HALTED", scope="system", reason=str(error), who="journal"))\n        self.fail(str(error))',
                "        self._barrier = 0",
            ),
            Patch(_SHELL, "        self.on_unjournaled(str(error))\n", ""),
        ),
        net({**CALM, "pace": 0.05}, disk_error=0.01),
        SAFE,
    ),
)
