"""Broken versions of the adapters."""

from tests.faults.mutant_list.mutant import CALM, DEATHS, HEALED, QUICK, SAFE, SECOND, Mutant, net, one, orders

_ANSWERS = "pyrt.venues.alpaca.answers"
_BROKER = "pyrt.venues.alpaca.broker"
_FEED = "pyrt.venues.alpaca.feed"

ADAPTERS: tuple[Mutant, ...] = (
    one(
        "silence-not-noticed",
        "a data stream that says nothing is believed for ever",
        _FEED,
        "            elif silence:\n",
        "            elif False:\n",
        {**CALM, "chaos": 70 * SECOND, "events": {"stream silent for good": 1}},
        SAFE,
    ),
    one(
        "html-is-proof",
        "a 4xx of somebody on the way counts as the venue's refusal",
        _ANSWERS,
        "answer.status not in (408, 429) and whole:",
        "answer.status not in (408, 429):",
        orders(CALM, html=0.3),
        SAFE,
    ),
    one(
        "5xx-is-proof",
        "a 5xx counts as a refusal",
        _ANSWERS,
        "if 400 <= answer.status < 500 and answer.status not in (408, 429) and whole:",
        "if 400 <= answer.status < 600 and answer.status not in (408, 429):",
        orders(CALM, error_after=0.3),
        SAFE,
    ),
    one(
        "never-left",
        "a request that broke is reported as never sent",
        _BROKER,
        "outcome = Outcome.AMBIGUOUS if sent else Outcome.NOT_SENT",
        "outcome = Outcome.NOT_SENT",
        orders(QUICK, lost_answer=0.4),
        SAFE,
    ),
    one(
        "duplicate-is-refusal",
        "the venue's word that the id exists counts as a refusal",
        _ANSWERS,
        'if answer.status == 422 and code == DUPLICATE_CODE and "client_order_id" in text:',
        "if False:",
        orders(CALM, doubled_request=0.4),
        SAFE,
    ),
    one(
        "missing-page-is-empty",
        "a page that does not come counts as one without rows",
        _BROKER,
        "        raise Misbehaved(f\"{path.partition('?')[0]}: {text or 'closing'}\")",
        "        return []",
        net({**CALM, "events": {"outage": 4}}, update_lost=0.3),
        SAFE,
    ),
    one(
        "first-page-is-all",
        "orders beyond the first page are not read",
        "pyrt.venues.alpaca.pages",
        "        if max(len(rows), size) < ORDERS_PAGE:\n",
        "        if len(rows) <= ORDERS_PAGE:\n",
        {**DEATHS, "page": 5},
    ),
    one(
        "budget-of-a-shorter-minute",
        "requests are forgotten before the venue forgets them",
        "pyrt.venues.alpaca.budget",
        "        while self._sent and self._sent[0] <= now - WINDOW - LATE:",
        "        while self._sent and self._sent[0] <= now - WINDOW // 20:",
        {**CALM, "pace": 0.02, "two": True, "rate_limit": 100, "told": False, "hasty": True},
        SAFE,
    ),
    one(
        "resubscribe-forgotten",
        "after a reconnection the feed thinks that it is subscribed",
        "pyrt.venues.alpaca.channels",
        "        self.acknowledged = dict.fromkeys(NAMES, frozenset())\n        self.pending = None\n",
        "        self.pending = None\n",
        {**CALM, "events": {"stream reset": 3}},
        HEALED,
    ),
    one(
        "gap-not-flagged",
        "trades that the stream missed leave no gap in the record",
        _FEED,
        "        self._sink(gaps.view(market_dtype), np.zeros(0, bar_dtype))",
        "        return",
        {**CALM, "events": {"stream reset": 4}},
        SAFE,
    ),
    one(
        "page-blocks-nothing",
        "orders leave although the risk page says stop",
        _BROKER,
        "self._venue_now() <= command.valid_until and not self._blocked()",
        "self._venue_now() <= command.valid_until",
        {**CALM, "pace": 0.05, "events": {"kill": 1}},
        SAFE,
    ),
)
