"""`python tests/docs/rule_table.py` writes the table of docs/orders.md from the rules."""

import re
from pathlib import Path

from pyrt.risk.rule_table import markdown

PAGE = Path(__file__).parents[2] / "docs" / "orders.md"
_TABLE = re.compile(r"(?<=<!-- rules -->\n).*?(?=<!-- /rules -->)", re.S)


def table() -> str:
    """The rows."""
    return "\n".join(markdown()) + "\n"


def shown() -> str:
    """What the page has now."""
    found = _TABLE.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    return found[0]


if __name__ == "__main__":
    PAGE.write_text(_TABLE.sub(lambda _: table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
