"""`python tests/docs/sim_tables.py` writes the table of docs/sim-faults.md from the structs; and which routes a page names."""

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import msgspec

from pyrt.venues.sim.server.kinds import AnyFault, Chance, Fault, Requests, kind_of

DOCS = Path(__file__).parents[2] / "docs"
FAULTS = DOCS / "sim-faults.md"
_TABLE = re.compile(r"(?<=<!-- kinds -->\n).*?(?=\n<!-- /kinds -->)", re.S)
_OCCASION = ("every", "count", "probability", "seed")
_CELL = re.compile(r"`((?:GET|POST|PUT|PATCH|DELETE|WS)(?:, (?:GET|POST|PUT|PATCH|DELETE))*) (/\S+)`")


def kinds() -> tuple[type[Fault], ...]:
    """Every fault that there is."""
    return get_args(AnyFault)


def _setting(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        required = field.default_factory is msgspec.NODEFAULT
        return f"`{field.encode_name}`" if required else f"`{field.encode_name}=[]`"
    shown = f"`{field.encode_name}={_text(field.default)}`"
    others = get_args(field.type) if get_origin(field.type) is Literal and field.type != Requests else ()
    return " or ".join([shown, *(f"`{_text(value)}`" for value in others if value != field.default)])


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def fault_table() -> str:
    """The rows of docs/sim-faults.md."""
    rows = ["| kind | settings | what happens |", "|---|---|---|"]
    for fault in kinds():
        fields = [f for f in msgspec.structs.fields(fault) if f.name not in ("name", "lasts", *_OCCASION)]
        settings = [_setting(f) for f in fields] + (["occasions"] if issubclass(fault, Chance) else [])
        text = " ".join((fault.__doc__ or "").split())
        rows.append(f"| `{kind_of(fault)}` | {', '.join(settings)} | {text} |")
    return "\n".join(rows)


def shown_table() -> str:
    """What the page has now."""
    found = _TABLE.search(FAULTS.read_text(encoding="utf-8"))
    assert found is not None
    return found[0]


def named_routes(page: Path) -> set[tuple[str, str]]:
    """(method, path) of each route in the first cell of a table's row."""
    found = set()
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            for methods, path in _CELL.findall(line.split(" | ")[0]):
                found |= {(method, path) for method in methods.split(", ")}
    return found


if __name__ == "__main__":
    FAULTS.write_text(_TABLE.sub(lambda _: fault_table(), FAULTS.read_text(encoding="utf-8")), encoding="utf-8")
