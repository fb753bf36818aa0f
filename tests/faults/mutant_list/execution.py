"""Broken versions of the execution engine."""

# ruff: noqa: E501 -- quoted source keeps its lines

from tests.faults.mutant_list.mutant import (
    CALM,
    DEATHS,
    HEALED,
    KILLED,
    LONG_LIVES,
    QUICK,
    RESTING,
    SAFE,
    SECOND,
    SLOW_VENUE,
    STARTS,
    Mutant,
    net,
    one,
    orders,
)
from tests.faults.patching import Patch

_SUBMIT = "pyrt.execution.submit"
_ORDERS = "pyrt.execution.orders"
_OBSERVE = "pyrt.execution.observe"
_CANCEL = "pyrt.execution.cancel"
_CANCEL_ALL = "pyrt.execution.cancel_all"
_ENGINE = "pyrt.execution.engine"
_LATCHES = "pyrt.risk.latches"
_BROKER = "pyrt.venues.alpaca.broker"
_SESSION = "pyrt.session"

EXECUTION: tuple[Mutant, ...] = (
    one(
        "4xx-after-ambiguous-is-proof",
        "a refusal of the second attempt ends an order whose first may work",
        _SUBMIT,
        "        elif order.ambiguous:\n",
        "        elif order.ambiguous and outcome is not Outcome.REJECTED:\n",
        orders(QUICK, lost_request=0.3, refusal=0.3),
        SAFE,
    ),
    one(
        "429-after-ambiguous-is-proof",
        "a 429 of the second attempt makes an ambiguous order an unsent one",
        _SUBMIT,
        "        elif order.ambiguous:\n",
        "        elif order.ambiguous and outcome is not Outcome.RATE_LIMITED:\n",
        orders(QUICK, lost_request=0.3, _429=0.3),
        SAFE,
    ),
    one(
        "absent-before-the-deadline",
        "a 404 while the request may still be on its way proves absence",
        _SUBMIT,
        "0 < attempt.prove_after <= asked",
        "0 < attempt.prove_after",
        orders(QUICK, held=0.4),
        SAFE,
    ),
    one(
        "re-post-after-restart",
        "an intent of an earlier life is sent again",
        _SUBMIT,
        "Attempt(ours=False, sent=",
        "Attempt(ours=True, sent=",
        orders(DEATHS, lost_request=0.2),
    ),
    one(
        "no-doubt-after-restart",
        "after a restart absence is proved at once",
        _SUBMIT,
        "landing = self._settings.deadline + self._settings.settle",
        "landing = 0",
        orders(DEATHS, held=0.4),
        SAFE,
    ),
    Mutant(
        "valid-until-ignored",
        "orders are sent however old they are",
        (
            Patch(
                _SUBMIT,
                "        if step.now.venue > order.valid_until:\n            self._end_unsent",
                "        if False:\n            self._end_unsent",
            ),
            Patch(_BROKER, "self._venue_now() <= command.valid_until and not self._blocked()", "not self._blocked()"),
            Patch(_BROKER, 'partial(task.expire, "past valid_until in the queue")', "lambda: None"),
        ),
        orders(CALM, _429=0.6),
        SAFE,
    ),
    one(
        "number-reused-after-restart",
        "a restart from a snapshot forgets the last order number",
        "pyrt.execution.saved",
        "orders.last_number, orders.last_ts, orders.opened_at = state.last_number,",
        "orders.last_number, orders.last_ts, orders.opened_at = max(state.open, default=0),",
        LONG_LIVES,
        SAFE,
    ),
    Mutant(
        "dedupe-by-execution-id",
        "a fill that two channels tell is booked twice: they have different ids",
        (
            Patch(
                _OBSERVE,
                "        known = self._orders.fills.get(key)\n",
                "        known = self._orders.fills.get(self._orders.executions.get(execution_id, key)) if execution_id in self._orders.executions else None\n",
            ),
            Patch(_OBSERVE, "if qty <= 0 or px <= 0 or cum - qty < order.filled:", "if qty <= 0 or px <= 0:"),
            Patch(_ORDERS, "        if key in self.fills:\n            return\n", ""),
        ),
        net(DEATHS, update_lost=0.3),
        SAFE,
    ),
    one(
        "cash-not-restored",
        "a snapshot comes back without the cash that its fills moved",
        "pyrt.execution.saved",
        "orders.account, orders.cash_flow, orders.epoch = state.account, state.cash_flow, state.epoch",
        "orders.account, orders.cash_flow, orders.epoch = state.account, 0, state.epoch",
        LONG_LIVES,
        SAFE,
    ),
    Mutant(
        "cash-not-kept",
        "a snapshot is made, and comes back, without the cash that fills moved",
        (
            Patch("pyrt.execution.saved", "            cash_flow=orders.cash_flow,\n", "            cash_flow=0,\n"),
            Patch("pyrt.execution.saved", "state.account, state.cash_flow, state.epoch", "state.account, 0, state.epoch"),
            Patch("pyrt.live.state", "    if state_of(session) != state:\n", "    if False:\n"),
        ),
        LONG_LIVES,
        SAFE,
    ),
    one(
        "final-before-its-fills",
        "an order ends although fills that the venue told are still missing",
        _OBSERVE,
        "if status.is_final and incomplete and (order.is_open or appeared):",
        "if False:",
        net(CALM, update_lost=0.5, update_late=0.3),
        SAFE,
    ),
    one(
        "cancel-sent-once",
        "a DELETE that got lost is never repeated",
        _CANCEL,
        "if wish.under_way or (wish.tries and step.now.mono < wish.asked + pause):",
        "if wish.under_way or wish.tries:",
        net(QUICK, lost_request=0.2),
        HEALED,
    ),
    one(
        "cancelled-is-gone",
        "an answered DELETE is taken as the end of the order",
        _CANCEL,
        "        if result.http in (404, 422):\n            step.do(order.lookup)\n",
        "        if result.accepted:\n            step.append(OrderChanged(number=order.number, status=OrderStatus.CANCELED, venue_order_id=order.venue_order_id, filled_qty=order.filled, ts=step.now.venue, tries=order.tries), Sync.SOON)\n            return\n",
        SLOW_VENUE,
        SAFE,
    ),
    one(
        "kill-cancels-nothing",
        "a kill blocks and leaves what works at the venue",
        _SESSION,
        "            Kill: (risk.on, execution.on),",
        "            Kill: (risk.on,),",
        {**CALM, "events": {"kill": 1}},
        HEALED,
    ),
    one(
        "all-cancelled-whoever-s",
        "a kill cancels everything at once although somebody else's order works",
        _CANCEL_ALL,
        "        return self._is_whole() and not any(self._orders.foreign(order) for order in self._orders.open.values())",
        "        return self._is_whole()",
        {**RESTING, "events": {"kill": 1, "foreign order": 6}},
        SAFE,
    ),
    one(
        "answer-to-all-is-proof",
        "an order is over when the answer to the cancel of all says that it is taken",
        _CANCEL,
        "        if self._one_call.on_result(result, step):\n",
        "        for number in list(self.wishes) if result.http == 207 else ():\n"
        "            if (order := self._orders.by_number[number]).venue_order_id in result.taken and order.is_open:\n"
        "                step.append(OrderChanged(number=number, status=OrderStatus.CANCELED, venue_order_id=order.venue_order_id, filled_qty=order.filled, ts=step.now.venue))\n"
        "        if self._one_call.on_result(result, step):\n",
        {**RESTING, "travel": SECOND, "events": {"kill": 1}},
        SAFE,
    ),
    Mutant(
        "latch-ends-with-its-life",
        "a restart opens every latch",
        (
            Patch(
                _ORDERS,
                "                self.epoch = max(self.epoch, fact.epoch)\n",
                "                self.epoch = max(self.epoch, fact.epoch)\n                self.latches.clear()\n",
            ),
            Patch(
                _LATCHES,
                '        """A life began: nothing is recovered yet."""\n',
                '        """A life began: nothing is recovered yet."""\n        for scope in self.closed:\n            self._gate.latch(scope, Level.ACTIVE)\n        self.closed.clear()\n',
            ),
        ),
        KILLED,
    ),
    # Either place heals it alone: the first at once, the second with the next sighting, which is asked for within seconds. The first
    # cannot do it where the replacement was cancelled on its way and nobody heard of it: the kept seed points 200349.
    Mutant(
        "replace-refused-and-forgotten",
        "an order whose replacement came to nothing stays pending, whatever the venue shows of it",
        (
            Patch(
                _ENGINE,
                "                if old is not None and old.status is OrderStatus.PENDING_REPLACE:",
                "                if False:",
            ),
            Patch(
                _OBSERVE,
                "        if target is OrderStatus.PENDING_REPLACE and status in _AT_WORK and not self._is_replacing(order.number):\n",
                "        if False:\n",
            ),
        ),
        orders({**QUICK, "hasty": True}, refusal=0.3),
        HEALED,
    ),
    one(
        "recovery-writes-again",
        "each sighting of an order is journaled, new or not",
        _OBSERVE,
        "if target is not order.status or not order.venue_order_id or terms:",
        "if True:",
        CALM,
        HEALED,
    ),
    Mutant(
        "stream-dropped-and-nobody-looks",
        "what the stream tells during recovery is dropped, and the drop copy is off",
        (
            Patch(_ENGINE, "buffered, self._buffer = self._buffer, []", "buffered, self._buffer = [], []"),
            Patch(_ENGINE, "                if self._reconciler.recovered:\n                    self._reconciler.poll(step)\n", ""),
            Patch(
                _ENGINE,
                "                if self._started and self._reconciler.recovered:\n                    self._reconciler.ask(step)\n",
                "",
            ),
        ),
        net(STARTS, slow=0.2),
        HEALED,
    ),
    Mutant(
        "drop-copy-off",
        "nobody asks for what the stream lost",
        (
            Patch(_ENGINE, "                if self._reconciler.recovered:\n                    self._reconciler.poll(step)\n", ""),
            Patch(
                _ENGINE,
                "                if self._started and self._reconciler.recovered:\n                    self._reconciler.ask(step)\n",
                "",
            ),
        ),
        net(CALM, update_lost=0.5),
        HEALED,
    ),
    one(
        "let-go-is-foreign",
        "what the venue says of an order that was let go is taken for somebody else's",
        "pyrt.execution.late",
        "        if key is None:\n            return False\n",
        "        if True:\n            return False\n",
        net({**CALM, "kept": 2}, update_doubled=0.3, update_late=0.3),
        SAFE,
    ),
    one(
        "let-go-with-its-entry",
        "a group is let go when one of its orders is over",
        _ORDERS,
        "            over = over and not any(number in self.open for number in reversed(self.groups.get(order.group, ())))\n",
        "            pass\n",
        {**CALM, "kept": 2, "exits": 0.9},
    ),
)
