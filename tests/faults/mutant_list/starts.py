"""Broken versions of what a start does with what an earlier life left.

An approval of an earlier life that counts is none: risk and execution are one process here, an Approved goes from the one to the
other within the step that made it, and Start opens the new epoch first; so none outlives its life. Where approvals come from
elsewhere the check matters: tests/execution/test_submit.py fails without it.
"""

from tests.faults.mutant_list.mutant import CALM, DEATHS, SAFE, SECOND, Mutant, net, one

_ENGINE = "pyrt.execution.engine"

AFTER_A_START: tuple[Mutant, ...] = (
    one(
        "history-from-now",
        "a start reads what happened since a day before now, not since a day before the last fact",
        "pyrt.execution.reconcile",
        "            last = self._orders.last_ts or step.now.venue\n",
        "            last = step.now.venue\n",
        # Nobody has an open order: since it was made, everything would be read again. And the second look of a start goes back by
        # five minutes: what was missed lies before them.
        {
            **DEATHS,
            "lives": 150.0,
            "pace": 1e6,
            "events": {"foreign trade": 8},
            "pause": 600_000,
            "chaos": 900 * SECOND,
            "history": SECOND,
        },
        SAFE,
    ),
    one(
        "stream-before-the-snapshot",
        "what the stream tells is folded in before the snapshot that a start begins from",
        _ENGINE,
        "        if self._reconciler.recovered:\n            self._reduce(update, self._orders.opened_at, step)\n",
        "        if True:\n            self._reduce(update, self._orders.opened_at, step)\n",
        {**net(CALM, meanwhile=0.5), "chaos": 8 * SECOND},
        SAFE,
    ),
    one(
        "pending-cancel-forgotten-by-a-restart",
        "an order whose cancel was asked for before a start is not cancelled after it",
        _ENGINE,
        "            if order.status is OrderStatus.PENDING_CANCEL and not order.external:\n",
        "            if False:\n",
        net({**DEATHS, "lives": 1.0, "pace": 0.1}, lost_request=0.2),
        ("points",),  # a start, and then nobody decides anything
    ),
)
