"""Broken versions of the risk manager."""

# ruff: noqa: E501 -- quoted source keeps its lines

from tests.faults.mutant_list.mutant import CALM, EXITS, HEALED, QUICK, SAFE, SLOW_VENUE, Mutant, one, orders

_CANCEL = "pyrt.execution.cancel"
_CHAINS = "pyrt.risk.chains"
_RISK = "pyrt.risk.manager"
_FACTS = "pyrt.risk.projection"

RISK: tuple[Mutant, ...] = (
    one(
        "reservation-kept",
        "what an order reserved is never released",
        _CHAINS,
        "            self._gate.release(chain.root, canceled_at=canceled_at)",
        "            pass",
        CALM,
        HEALED,
    ),
    one(
        "pending-cancel-is-no-exposure",
        "an order counts no more once its cancel was asked for",
        _CHAINS,
        "            if fact.status.is_final:\n                self._ended(chain, fact)",
        "            if fact.status.is_final or fact.status is OrderStatus.PENDING_CANCEL:\n                self._ended(chain, fact)",
        SLOW_VENUE,
        SAFE,
    ),
    one(
        "unknown-is-no-exposure",
        "an order of unknown fate counts no more",
        _CHAINS,
        "            self._gate.unknown(chain.root, True)",
        "            self._drop(chain, 0)",
        orders(QUICK, lost_answer=0.4),
        SAFE,
    ),
    one(
        "replace-counts-at-once",
        "a replacement that frees quantity counts before it is acknowledged",
        _CHAINS,
        "            replaces=chain.root if chain else 0,\n        )\n",
        "            replaces=chain.root if chain else 0,\n        )\n        if chain is not None:\n            self._gate.settle(chain.root, True)\n",
        SLOW_VENUE,
        SAFE,
    ),
    # That an order's end does not end the replacement under way is shown in tests/risk: this venue rejects such a replacement when
    # it arrives, so no history can tell.
    one(
        "fill-counted-twice",
        "risk books each fill twice",
        _FACTS,
        "        self._dirty = True\n        raced = ",
        "        self.gate.fill(key, fact.strategy, fact.instrument, fact.side, fact.px, fact.qty, fact.fee * MONEY, fact.ts)\n        self._dirty = True\n        raced = ",
        CALM,
        HEALED,
    ),
    one(
        "position-limit-ignored",
        "an order beyond the position limit is approved all the same",
        _RISK,
        "        if failed or broken or others:\n",
        "        if (failed and failed != Code.POSITION_LIMIT) or broken or others:\n",
        {**CALM, "pace": 0.05},
        SAFE,
    ),
    one(
        "no-exit-is-fine",
        "a position whose strategy must have exits is left without one",
        "pyrt.risk.exits",
        "        if lacking <= 0:\n",
        "        if True:\n",
        EXITS,
        HEALED,
    ),
    one(
        "exit-for-what-is-offered-too",
        "the stop behind a position is for more than is free, and refused whole",
        "pyrt.risk.exits",
        "        qty = min(lacking, free)\n",
        "        qty = lacking\n",
        EXITS,
        HEALED,
    ),
)
