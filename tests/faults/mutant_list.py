"""The mutants: broken policies of the specification, and faults seeded into our own code. A name, what it does, where."""

# ruff: noqa: E501 -- quoted source keeps its lines

from typing import Any, NamedTuple

from tests.faults.patching import Patch

BOTH = ("safety", "liveness")
SAFE = ("safety",)
HEALED = ("liveness",)  # only what does not heal tells it
SECOND = 10**9
# Weathers: what a fault needs to show itself, and little else. Arguments of tests.faults.plan.Plan, which must not be imported here.
CALM: dict[str, Any] = {"lives": 0.0, "pace": 0.1, "chaos": 20 * SECOND}
SLOW_VENUE = {**CALM, "pace": 0.05, "travel": SECOND // 4}
QUICK = {**CALM, "quick": True}
DEATHS = {"lives": 250.0, "power": 0.5, "pace": 0.1, "chaos": 20 * SECOND, "quick": True}
POWER = {"lives": 150.0, "power": 1.0, "pace": 0.05, "chaos": 20 * SECOND}
LONG_LIVES = {"keep": 8, "lives": 400.0, "power": 0.3, "pace": 0.03, "chaos": 20 * SECOND}
KILLED = {"lives": 300.0, "power": 1.0, "pace": 0.05, "chaos": 20 * SECOND, "events": {"kill": 1}}


def _net(weather: dict[str, Any], **chances: float) -> dict[str, Any]:
    return {**weather, "chances": {name.replace("_", " ").strip(): chance for name, chance in chances.items()}}


def _orders(weather: dict[str, Any], **chances: float) -> dict[str, Any]:
    return {**weather, "chances": {f"order: {name.replace('_', ' ').strip()}": chance for name, chance in chances.items()}}


class Mutant(NamedTuple):
    """A fault of ours."""

    name: str
    what: str
    patches: tuple[Patch, ...]
    weather: dict[str, Any]  # empty: the seed's own
    modes: tuple[str, ...] = BOTH


def _one(
    name: str, what: str, module: str, old: str, new: str, weather: dict[str, Any] | None = None, modes: tuple[str, ...] = BOTH
) -> Mutant:
    return Mutant(name, what, (Patch(module, old, new),), weather or {}, modes)


_SUBMIT, _ORDERS, _OBSERVE = "pyrt.execution.submit", "pyrt.execution.orders", "pyrt.execution.observe"
_CANCEL, _ENGINE, _RECONCILE = "pyrt.execution.cancel", "pyrt.execution.engine", "pyrt.execution.reconcile"
_CHAINS, _RISK, _FACTS, _LATCHES = "pyrt.risk.chains", "pyrt.risk.manager", "pyrt.risk.projection", "pyrt.risk.latches"
_JOURNAL, _SEGMENTS = "pyrt.journal.journal", "pyrt.journal.segments"
_ANSWERS, _BROKER, _FEED = "pyrt.venues.alpaca.answers", "pyrt.venues.alpaca.broker", "pyrt.venues.alpaca.feed"
_SHELL, _SESSION = "pyrt.live.shell", "pyrt.session"

POLICIES = (
    _one(
        "no-fsync",
        "the journal says durable and never syncs",
        _JOURNAL,
        'if durability == "sync":\n        return LINGER, True, True',
        'if durability == "sync":\n        return LINGER, True, False',
    ),
    _one(
        "record-after-post",
        "an order leaves before its intent is appended",
        _SESSION,
        "        for command in commands:\n            if isinstance(command, Append):",
        '        for command in sorted(commands, key=lambda c: type(c).__name__ != "Submit"):\n            if isinstance(command, Append):',
    ),
    _one(
        "random-id",
        "each attempt has a client order id of its own",
        _SUBMIT,
        "        cid=order.cid,\n        symbol=",
        '        cid=__import__("uuid").uuid4().hex,\n        symbol=',
    ),
    _one(
        "post-without-waiting",
        "an order leaves as soon as its intent is appended",
        _SHELL,
        "if self._held or self.journal.durable < self._barrier:",
        "if self._held:",
    ),
)

EXECUTION = (
    _one(
        "4xx-after-ambiguous-is-proof",
        "a refusal of the second attempt ends an order whose first may work",
        _SUBMIT,
        "        elif order.ambiguous:\n",
        "        elif order.ambiguous and outcome is not Outcome.REJECTED:\n",
        _orders(QUICK, lost_request=0.3, refusal=0.3),
        SAFE,
    ),
    _one(
        "429-after-ambiguous-is-proof",
        "a 429 of the second attempt makes an ambiguous order an unsent one",
        _SUBMIT,
        "        elif order.ambiguous:\n",
        "        elif order.ambiguous and outcome is not Outcome.RATE_LIMITED:\n",
        _orders(QUICK, lost_request=0.3, _429=0.3),
        SAFE,
    ),
    _one(
        "absent-before-the-deadline",
        "a 404 while the request may still be on its way proves absence",
        _SUBMIT,
        "0 < attempt.prove_after <= asked",
        "0 < attempt.prove_after",
        _orders(QUICK, held=0.4),
        SAFE,
    ),
    _one(
        "re-post-after-restart",
        "an intent of an earlier life is sent again",
        _SUBMIT,
        "Attempt(ours=False, sent=",
        "Attempt(ours=True, sent=",
        _orders(DEATHS, lost_request=0.2),
    ),
    _one(
        "no-doubt-after-restart",
        "after a restart absence is proved at once",
        _SUBMIT,
        "landing = self._settings.deadline + self._settings.settle",
        "landing = 0",
        _orders(DEATHS, held=0.4),
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
        _orders(CALM, _429=0.6),
        SAFE,
    ),
    _one(
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
        _net(DEATHS, update_lost=0.3),
        SAFE,
    ),
    _one(
        "cash-not-restored",
        "a snapshot comes back without the cash that its fills moved",
        "pyrt.execution.saved",
        "orders.account, orders.cash_flow, orders.epoch = state.account, state.cash_flow, state.epoch",
        "orders.account, orders.cash_flow, orders.epoch = state.account, 0, state.epoch",
        LONG_LIVES,
        SAFE,
    ),
    _one(
        "final-before-its-fills",
        "an order ends although fills that the venue told are still missing",
        _OBSERVE,
        "if status.is_final and incomplete and (order.is_open or appeared):",
        "if False:",
        _net(CALM, update_lost=0.5, update_late=0.3),
        SAFE,
    ),
    _one(
        "cancel-sent-once",
        "a DELETE that got lost is never repeated",
        _CANCEL,
        "if wish.under_way or (wish.tries and step.now.mono < wish.asked + pause):",
        "if wish.under_way or wish.tries:",
        _net(QUICK, lost_request=0.2),
        HEALED,
    ),
    _one(
        "cancelled-is-gone",
        "an answered DELETE is taken as the end of the order",
        _CANCEL,
        "        if result.http in (404, 422):\n            step.do(order.lookup)\n",
        "        if result.accepted:\n            step.append(OrderChanged(number=order.number, status=OrderStatus.CANCELED, venue_order_id=order.venue_order_id, filled_qty=order.filled, ts=step.now.venue, tries=order.tries), Sync.SOON)\n            return\n",
        SLOW_VENUE,
        SAFE,
    ),
    _one(
        "kill-cancels-nothing",
        "a kill blocks and leaves what works at the venue",
        _SESSION,
        "            Kill: (risk.on, execution.on),",
        "            Kill: (risk.on,),",
        {**CALM, "events": {"kill": 1}},
        HEALED,
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
    _one(
        "replace-refused-and-forgotten",
        "an order whose replacement came to nothing stays pending",
        _ENGINE,
        "                if old is not None and old.status is OrderStatus.PENDING_REPLACE:",
        "                if False:",
        _orders(QUICK, refusal=0.3),
        HEALED,
    ),
    _one(
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
        DEATHS,
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
        _net(CALM, update_lost=0.5),
        HEALED,
    ),
)

RISK = (
    _one(
        "reservation-kept",
        "what an order reserved is never released",
        _CHAINS,
        "            self._gate.release(chain.root, canceled_at=canceled_at)",
        "            pass",
        CALM,
        HEALED,
    ),
    _one(
        "pending-cancel-is-no-exposure",
        "an order counts no more once its cancel was asked for",
        _CHAINS,
        "            if fact.status.is_final:\n                self._ended(chain, fact)",
        "            if fact.status.is_final or fact.status is OrderStatus.PENDING_CANCEL:\n                self._ended(chain, fact)",
        SLOW_VENUE,
        SAFE,
    ),
    _one(
        "unknown-is-no-exposure",
        "an order of unknown fate counts no more",
        _CHAINS,
        "            self._gate.unknown(chain.root, True)",
        "            self._drop(chain, 0)",
        _orders(QUICK, lost_answer=0.4),
        SAFE,
    ),
    _one(
        "replace-counts-at-once",
        "a replacement that frees quantity counts before it is acknowledged",
        _CHAINS,
        "            replaces=chain.root if chain else 0,\n        )\n",
        "            replaces=chain.root if chain else 0,\n        )\n        if chain is not None:\n            self._gate.settle(chain.root, True)\n",
        SLOW_VENUE,
        SAFE,
    ),
    _one(
        "head-gone-replace-forgotten",
        "the end of an order ends the replacement that is under way",
        _CHAINS,
        "            chain.head_final = True  # the replace under way may yet be an order: count until its answer\n            if chain.shown",
        "            if fact.status is not OrderStatus.REPLACED:\n                self._drop(chain, canceled_at)\n                return\n            chain.head_final = True\n            if chain.shown",
        SLOW_VENUE,
        SAFE,
    ),
    _one(
        "fill-counted-twice",
        "risk books each fill twice",
        _FACTS,
        "        self._dirty = True\n        raced = ",
        "        self.gate.fill(key, fact.strategy, fact.instrument, fact.side, fact.px, fact.qty, fact.fee * MONEY, fact.ts)\n        self._dirty = True\n        raced = ",
        CALM,
        HEALED,
    ),
    _one(
        "position-limit-ignored",
        "an order beyond the position limit is approved all the same",
        _RISK,
        "        if failed or broken or others:\n",
        "        if (failed and failed != Code.POSITION_LIMIT) or broken or others:\n",
        {**CALM, "pace": 0.05},
        SAFE,
    ),
)

JOURNAL = (
    _one(
        "header-not-synced",
        "a new segment's header is not on the disk when it is used",
        _SEGMENTS,
        "        _write_at_start(fd, pack_header(header))\n        sync_file(fd)\n",
        "        _write_at_start(fd, pack_header(header))\n",
        POWER,
        SAFE,
    ),
    _one(
        "name-not-synced",
        "a new segment's name is not on the disk when it is used",
        _SEGMENTS,
        "        prepared.rename(target)\n        sync_directory(directory)\n",
        "        prepared.rename(target)\n",
        POWER,
        SAFE,
    ),
    _one(
        "short-write-taken-as-whole",
        "a short write of a header counts as a whole one",
        _SEGMENTS,
        "    while done < len(data):  # a short write is legal\n",
        "    if done < len(data):\n",
        {**POWER, "power": 0.0},
        SAFE,
    ),
    _one(
        "tail-released-too-early",
        "the hole behind the last record begins in it",
        _JOURNAL,
        "begin = -(-end // 4096) * 4096",
        "begin = end // 4096 * 4096",
        {**POWER, "power": 0.5},
        SAFE,
    ),
    _one(
        "tail-not-synced",
        "what a killed process wrote counts before it is on the disk",
        _JOURNAL,
        "                segments.sync_segment(directory, len(self._ends))",
        "                pass",
        {**POWER, "power": 0.5},
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
        _net({**CALM, "pace": 0.05}, disk_error=0.01),
        SAFE,
    ),
)

ADAPTERS = (
    _one(
        "silence-not-noticed",
        "a data stream that says nothing is believed for ever",
        _FEED,
        "            elif silence:\n",
        "            elif False:\n",
        {**CALM, "chaos": 70 * SECOND, "events": {"stream silent for good": 1}},
        SAFE,
    ),
    _one(
        "html-is-proof",
        "a 4xx of somebody on the way counts as the venue's refusal",
        _ANSWERS,
        "answer.status not in (408, 429) and whole:",
        "answer.status not in (408, 429):",
        _orders(CALM, html=0.3),
        SAFE,
    ),
    _one(
        "5xx-is-proof",
        "a 5xx counts as a refusal",
        _ANSWERS,
        "if 400 <= answer.status < 500 and answer.status not in (408, 429) and whole:",
        "if 400 <= answer.status < 600 and answer.status not in (408, 429):",
        _orders(CALM, error_after=0.3),
        SAFE,
    ),
    _one(
        "never-left",
        "a request that broke is reported as never sent",
        _BROKER,
        "outcome = Outcome.AMBIGUOUS if sent else Outcome.NOT_SENT",
        "outcome = Outcome.NOT_SENT",
        _orders(QUICK, lost_answer=0.4),
        SAFE,
    ),
    _one(
        "duplicate-is-refusal",
        "the venue's word that the id exists counts as a refusal",
        _ANSWERS,
        'if answer.status == 422 and code == DUPLICATE_CODE and "client_order_id" in text:',
        "if False:",
        _orders(CALM, doubled_request=0.4),
        SAFE,
    ),
    _one(
        "missing-page-is-empty",
        "a page that does not come counts as one without rows",
        _BROKER,
        "        raise Misbehaved(f\"{path.partition('?')[0]}: {text or 'closing'}\")",
        "        return []",
        _net(DEATHS, html=0.4, truncated=0.3),
    ),
    _one(
        "first-page-is-all",
        "orders beyond the first page are not read",
        "pyrt.venues.alpaca.pages",
        "        if len(rows) < ORDERS_PAGE:\n",
        "        if len(rows) <= ORDERS_PAGE:\n",
        {**DEATHS, "page": 5},
    ),
    _one(
        "budget-of-a-shorter-minute",
        "requests are forgotten before the venue forgets them",
        "pyrt.venues.alpaca.budget",
        "        while self._sent and self._sent[0] <= now - WINDOW:",
        "        while self._sent and self._sent[0] <= now - WINDOW // 20:",
        {**CALM, "pace": 0.02, "two": True, "rate_limit": 200, "chaos": 20 * SECOND},
        SAFE,
    ),
    _one(
        "resubscribe-forgotten",
        "after a reconnection the feed thinks that it is subscribed",
        "pyrt.venues.alpaca.channels",
        "        self.acknowledged = dict.fromkeys(NAMES, frozenset())\n        self.pending = None\n",
        "        self.pending = None\n",
        {**CALM, "events": {"stream reset": 3}},
        HEALED,
    ),
    _one(
        "gap-not-flagged",
        "trades that the stream missed leave no gap in the record",
        _FEED,
        "        self._sink(gaps.view(market_dtype), np.zeros(0, bar_dtype))",
        "        return",
        {**CALM, "events": {"stream reset": 4}},
        SAFE,
    ),
    _one(
        "page-blocks-nothing",
        "orders leave although the risk page says stop",
        _BROKER,
        "self._venue_now() <= command.valid_until and not self._blocked()",
        "self._venue_now() <= command.valid_until",
        {**CALM, "pace": 0.05, "events": {"kill": 1}},
        SAFE,
    ),
)

SESSION = (
    _one(
        "timers-lost",
        "a timer that fires takes the others with it",
        "pyrt.live.timers",
        "                del self._current[key]\n",
        "                self._current.clear()\n",
        _orders(QUICK, lost_answer=0.3),
        HEALED,
    ),
    _one(
        "wall-clock",
        "time is this machine's, not the venue's",
        _SHELL,
        "max(self._venue, self.clock.at(mono))",
        "max(self._venue, time.time_ns())",
        {**CALM, "events": {"clock step": 3}},
    ),
)

MUTANTS: tuple[Mutant, ...] = (*POLICIES, *EXECUTION, *RISK, *JOURNAL, *ADAPTERS, *SESSION)

# Holes of the harness as it is: nothing in it has caught these yet. They leave the list when a seed does.
_OPEN = frozenset(
    (
        "missing-page-is-empty",
        "number-reused-after-restart",
        "cash-not-restored",
        "replace-refused-and-forgotten",
        "stream-dropped-and-nobody-looks",
        "drop-copy-off",
        "head-gone-replace-forgotten",
        "short-write-taken-as-whole",
        "budget-of-a-shorter-minute",
        "timers-lost",
        "wall-clock",
    )
)
UNCAUGHT: tuple[Mutant, ...] = tuple(mutant for mutant in MUTANTS if mutant.name in _OPEN)
