"""Hot functions are `noexcept nogil`, so that Cython itself refuses Python in them, and allocate only where they grow."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

CORE = Path(__file__).parents[2] / "src" / "pyrt" / "_core"
MODULES = sorted(path.stem for path in CORE.glob("*.pyx"))

# What the path of a market record or an order runs through: these must be there, and hot.
PATH = {
    "bars": {"bars_trade", "bars_cancel", "bars_gap", "bars_close"},
    "book": {"book_apply", "book_set", "book_flags", "book_walk"},
    "sampled": {"samples_trade"},
    "sweep": {"_advance", "_over"},
    "fed": {"feed_bar"},
    "inbox": {"at", "is_plain", "look"},
    "itch": {"itch_message", "itch_feed", "itch_bare"},
    "l3": {"l3_event", "l3_apply"},
    "ledger": {"put", "find", "fill_order", "settle_slot", "drop"},
    "onepass": {"begin", "go_on"},
    "pipeline": {"pipeline_record", "pipeline_close", "pipeline_run"},
    "recent": {"push", "tail"},
    "strategy": {"ask", "buy", "close", "open_orders", "position", "sell"},
    "types": {"float_units", "parse_fixed"},
    "controls": {"check_order", "reserve"},
    "prices": {"refer", "price"},
    "ring": {"publish_records", "read_records"},
    "risk": {"confirm_order"},
}
# C functions that may touch Python: they make or read Python objects at the edge, or run once at start.
COLD = {
    "bars": {"bars_counters", "forming_rows", "set_sessions", "start_bars", "take_rows"},
    "book": {"of", "levels"},
    "conditions": {"fill_rules"},
    "dump": {"_again", "_moves", "_pair", "_refill", "_times", "_whole"},
    "encode": {"refuse"},
    "events": {"_copy", "_letters", "make_bar", "make_quote", "make_trade"},
    "frames": {"deliver", "fail", "join"},
    "entries": {"add"},
    "inbox": {"_copied", "count", "give", "keep", "run", "run_compiled", "take"},
    "indicators": {
        "_alone",
        "_apart",
        "_are_bars",
        "_off",
        "_period",
        "idle",
        "moments",
        "need",
        "run",
        "run_bars",
        "start",
        "take",
        "take_row",
        "windows",
    },
    "itch": {"share", "start_table"},
    "l3": {"best", "done", "levels", "of"},
    "lane": {"_units", "go"},
    "ledger": {"_money", "_position", "_units"},
    "loop": {"give", "go", "is_idle", "settle_first"},
    "log": {"_look_beyond", "_walk"},
    "match": {"_pit", "_run", "_waiting"},
    "measure": {"_money", "look", "narrow", "narrow_money", "tell"},
    "messages": {"enter", "grow", "idle"},
    "onepass": {"idle", "message", "settle"},
    "pipeline": {"_idle", "_slot", "take"},
    "quoted": {"run", "take"},
    "ring": {"_wanted", "attach", "enter", "fits", "make", "map", "release", "shared", "take"},
    "risk": {"_money", "_moves", "_times", "_units"},
    "sampled": {"fit_code", "keep", "read_code"},
    "sweep": {"_through", "column", "sweep", "sweep_bars", "sweep_one"},
    "strategy": {
        "advance",
        "handle",
        "handle_bar",
        "handle_record",
        "on_bar",
        "on_book",
        "on_quote",
        "on_trade",
        "watched",
    },  # callbacks may raise
    "types": {"_strip", "i128_to_object", "plain_units"},
    "verbs": {"held", "intent", "is_price", "row", "seat_of", "send", "working"},
    "wire": {"_enter_keys", "keep_controls", "read", "read_long"},
}
# Hot functions that may allocate, each of them only to grow what it was given.
GROW = {
    "bars": {"bars_init"},
    "book": {"book_grow"},
    "encode": {"room"},
    "entries": {"room"},
    "far": {"far_grow"},
    "l3": {"grow_index", "grow_slots", "l3_grow", "l3_init"},
    "ledger": {"_grown", "position_slot", "put"},
    "messages": {"bar", "new_level", "put"},
    "pipeline": {"_reserve"},
    "strategy": {"_room"},
    "sampled": {"samples_init"},
    "controls": {"activity", "grow"},
}


class Function(NamedTuple):
    name: str
    header: str
    body: str

    @property
    def hot(self) -> bool:
        return "noexcept" in self.header and "nogil" in self.header


def functions(text: str) -> Iterator[Function]:
    """The C functions that a .pyx defines."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        begun = re.match(r"(\s*)cdef (?!class|struct|enum|extern|union|packed)[^=]*?(\w+)\(", lines[at])
        if not begun:
            at += 1
            continue
        header = lines[at]
        while header.count("(") > header.count(")"):
            at += 1
            header += " " + lines[at].strip()
        at += 1
        code = header.split("#")[0].rstrip()
        if not code.endswith(":") and not re.search(r"\)[^()]*:\s", code):
            continue
        body = []
        while at < len(lines) and (not lines[at].strip() or re.match(begun[1] + r"\s+\S", lines[at])):
            body.append(lines[at].split("#")[0])
            at += 1
        yield Function(begun[2], code, "\n".join(body))


def of(module: str) -> list[Function]:
    return list(functions((CORE / f"{module}.pyx").read_text(encoding="utf-8")))


@pytest.mark.row("S098")
@pytest.mark.parametrize("module", MODULES)
def test_c_functions_are_hot_or_named_here(module: str) -> None:
    cold = {f.name for f in of(module) if not f.hot}
    assert cold == COLD.get(module, set())


@pytest.mark.row("S098")
@pytest.mark.parametrize("module", PATH)
def test_the_path_is_hot(module: str) -> None:
    hot = {f.name for f in of(module) if f.hot}
    assert hot >= PATH[module]


@pytest.mark.parametrize("module", MODULES)
def test_hot_functions_never_take_the_gil(module: str) -> None:
    assert [f.name for f in of(module) if f.hot and re.search(r"\bwith gil\b", f.body)] == []


@pytest.mark.row("S098")
@pytest.mark.parametrize("module", MODULES)
def test_hot_functions_allocate_only_to_grow(module: str) -> None:
    allocating = {
        f.name for f in of(module) if f.hot and re.search(r"\b(malloc|calloc|realloc|posix_memalign|pyrt_pages)\(", f.body)
    }
    assert allocating == GROW.get(module, set())


def test_the_rules_can_fail() -> None:
    text = """
cdef int64_t* slow(int a,
                   int b) except NULL:   # why
    return malloc(8)

cdef class Book:
    cdef inline void quick(self) noexcept nogil:
        with gil:
            pass
        x = malloc(1)

    cdef int declared(self) noexcept nogil
"""
    slow, quick = functions(text)
    assert (slow.name, slow.hot) == ("slow", False)
    assert (quick.name, quick.hot) == ("quick", True)
    assert "with gil" in quick.body
    assert "malloc" in quick.body
