"""Weathers of what is rare elsewhere, each for every twenty-third seed: what a history of its seed met before, it meets no more.

The numbers are those that no seed kept in tests/seeds has.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.plan import Plan

EVERY = 23
BOOKS = (
    "crossed book",
    "locked book",
    "one-sided book",
    "empty book",
    "zero price",
    "absurd price",
    "quote gone back",
    "quote ahead",
)
MARKET = (*BOOKS, "quiet symbol", "halt", "market halt")
TABLES = ("tables locked", "tables slow", "tables ruined", "tables gone")
THEME = {0: "others", 2: "market", 4: "tables", 7: "hours", 8: "killed", 9: "silent", 12: "late", 13: "market", 20: "strategy"}
PART = "partial 207"
WAYS = ("lost request", "lost answer", "held", "error before", "error after", "429", "truncated", "html", "slow")
OTHERS = ("foreign order", "foreign cancel", "overfill", "bust")


def theme_of(seed: int) -> str:
    """The rare weather of a seed; "" for nearly all."""
    return THEME.get(seed % EVERY, "")


def rare(plan: "Plan", seed: int) -> "Plan":
    """A plan with the rare weather of its seed, in place of what it had."""
    theme = theme_of(seed)
    if not theme:
        return plan
    often = seed // EVERY % 3 + 1
    plan.chances, plan.events = {}, {}
    if theme == "market":
        plan.events = dict.fromkeys(MARKET, often)
        if seed // EVERY % 2:
            plan.events |= {"stream reset": 2, "stream half open": 1}
    elif theme == "tables":
        plan.events = dict.fromkeys(TABLES, often)
    elif theme == "hours":
        plan.night = seed // EVERY % 6
        plan.pace, plan.lives = 0.1, 0.0 if seed // EVERY % 2 else 400.0
    elif theme == "silent":
        plan.events = {"stream silent": 8 * often, "stream reset": 1}
    elif theme == "late":
        plan.chances = {"held": 0.03 * often}
    elif theme == "killed":  # with much at work, and an answer to the one request for all that is lost, late, or in part
        plan.pace, plan.hasty, plan.resting, plan.rate_limit = 0.1, True, 0.8, 600
        plan.lives = 400.0 * (often - 1)
        plan.chances = {PART: 0.3} | {f"all: {kind}": 0.1 for kind in WAYS}
        plan.events = {"kill": 1} | ({"foreign order": 2} if seed // EVERY % 2 else {})
    elif theme == "strategy":
        plan.chances, plan.events = {"strategy raises": 0.05 * often}, {"resume": 6}
    else:
        plan.events = {"foreign order": 4 * often, "foreign cancel": 4 * often, "overfill": 1, "bust": 1}
    return plan
