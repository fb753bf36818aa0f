"""A configuration as TOML text: what `config init` and `config show` print. Values that are secret are masked."""

from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

import msgspec

from pyrt.config.files import Loaded, is_secret_name
from pyrt.config.schema import KEYS, TYPED, Section
from pyrt.config.secret import MASK, Secret

_HEAD = {
    "venue": "Where orders go.",
    "market": "Market data.",
    "signals": "From a signal to a quantity.",
    "execution": "The way to the venue.",
    "journal": "What survives.",
    "alerts": "How a human who does not look hears of it.",
    "postgres": "The journal's tables in a PostgreSQL database; state.sqlite has them anyway.",
}
_TEMPLATE_END = """\
[risk]
# Names of the shipped profile `paper`; what is not named here keeps its value there. `pyrt config show` prints all of them.
# max_order_notional = "25000"
# max_position_notional = "50000"
# max_daily_loss = "5000"
# restricted = ["TSLA"]

# One table for each strategy; `use` says where its class is, the other names are its parameters.
# [strategies.Breakout]
# use = "my.py"
# symbols = ["AAPL"]
# lookback = 30
"""


def template() -> str:
    """A configuration file of all defaults, each with its meaning."""
    lines = ["# Settings of pyrt. Every value here is the default: delete what you do not change."]
    for name, kind in TYPED.items():
        lines += ["", f"# {_HEAD[name]}", f"[{name}]"]
        described = descriptions(kind)
        for key, value in _values(kind()).items():
            hidden = "# " if key in KEYS else ""
            lines += [f"# {described[key]}", f"{hidden}{key} = {to_toml(_masked(key, value))}"]
    return "\n".join([*lines, "", _TEMPLATE_END])


def show(loaded: Loaded, limits: Mapping[str, Any]) -> str:
    """The configuration in force, with the source of everything that is not a default."""
    config = loaded.config
    lines: list[str] = []
    for name in TYPED:
        values = _values(getattr(config, name))
        lines += [f"[{name}]", *_lines(name, values, loaded.sources), ""]
    lines += ["[risk]", *_lines("risk", limits, loaded.sources), ""]
    for strategy, parameters in config.strategies.items():
        source = loaded.sources.get(f"strategies.{strategy}", "")
        lines += [f"[strategies.{strategy}]{f'  # {source}' if source else ''}", *_lines("", parameters, {}), ""]
    return "\n".join(lines)


def descriptions(kind: type[Section]) -> dict[str, str]:
    """What each setting of a section means."""
    found = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if name in kind.__struct_fields__:
            metas = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, msgspec.Meta)]
            found[name] = next((m.description for m in metas if m.description), "")
    return found


def to_toml(value: Any) -> str:
    """One value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(to_toml(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {to_toml(v)}" for k, v in value.items()) + " }" if value else "{}"
    return msgspec.json.encode(str(value)).decode()  # a JSON string is a TOML string


def _lines(section: str, values: Mapping[str, Any], sources: Mapping[str, str]) -> Iterator[str]:
    for key, value in values.items():
        source = sources.get(f"{section}.{key}", "")
        yield f"{_key(key)} = {to_toml(_masked(key, value))}{f'  # {source}' if source else ''}"


def _masked(key: str, value: Any) -> Any:
    if isinstance(value, Secret):
        return MASK if value else ""
    if isinstance(value, Mapping):
        return {k: _masked(k, v) for k, v in value.items()}
    return MASK if value and is_secret_name(key) else value


def _values(section: Section) -> dict[str, Any]:
    return {name: getattr(section, name) for name in section.__struct_fields__}


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else msgspec.json.encode(name).decode()
