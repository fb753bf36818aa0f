"""Strategies named on a command line: from a file, a dotted name or an entry point."""

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pyrt.cli.build import check
from pyrt.config import COMMAND_LINE, Loaded
from pyrt.errors import ConfigError, PyrtError
from pyrt.strategies import Strategy

GROUP = "pyrt.strategies"
_COMPILED = (".pyx", *EXTENSION_SUFFIXES)


def load_strategies(
    names: Sequence[str],
    settings: Sequence[str] = (),
    symbols: str | None = None,
    *,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Strategy]:
    """Make strategies of FILE.py[:Class] (or .pyx), dotted.name:Class or entry points, with `Class.parameter=value` settings.

    `tables` are parameters by class name; settings win over them, `symbols` over both. Raises ConfigError naming what was not
    found, or the line of the user's file that failed.
    """
    return build([load_class(name) for name in names], settings, symbols, tables or {})


def build(
    classes: Sequence[type[Strategy]], settings: Sequence[str], symbols: str | None, tables: Mapping[str, Mapping[str, Any]]
) -> list[Strategy]:
    """Make strategies of their classes; see load_strategies."""
    known = {c.__name__ for c in classes}
    if len(known) < len(classes):
        raise ConfigError("a strategy is named twice", where="--strategy", mend="subclass it under another name")
    chosen: dict[str, dict[str, Any]] = {name: dict(tables.get(name, {})) for name in known}
    for setting in settings:
        target, _, value = setting.partition("=")
        name, _, parameter = target.rpartition(".")
        if not name and len(classes) == 1:
            name = classes[0].__name__
        if name not in known or not value:
            mend = f"write Class.parameter=value with Class one of {', '.join(sorted(known))}"
            raise ConfigError(f"{setting!r} sets nothing", where="--set", mend=mend)
        chosen[name][parameter] = value
    if symbols:
        for parameters in chosen.values():
            parameters["symbols"] = tuple(s.strip().upper() for s in symbols.split(",") if s.strip())
    made = [make(c, chosen[c.__name__]) for c in classes]
    for strategy in made:
        if not strategy.symbols:
            raise ConfigError(f"{strategy.name} has no symbols", mend="give it a class attribute `symbols`, or use --symbols")
    return made


def load_configured(loaded: Loaded, names: Sequence[str], settings: Sequence[str], examples: Sequence[str]) -> list[Strategy]:
    """The strategies of a configuration and of `names`; of `examples` where neither names one."""
    config = loaded.config
    wanted = list(names)
    tables: dict[str, dict[str, Any]] = {}
    for name, table in config.strategies.items():
        source = loaded.sources[f"strategies.{name}"]
        tables[name] = {key: value for key, value in table.items() if key != "use"}
        if "use" in table:
            wanted.append(_place(str(table["use"]), name, source))
    wanted = wanted or list(examples)
    classes = [load_class(name) for name in wanted]
    known = [c.__name__ for c in classes]
    for name in tables:
        if name not in known:
            mend = f'add use = "FILE.py" to it; the strategies are {", ".join(known)}'
            raise ConfigError(
                "no strategy of this name", where=f"{loaded.sources[f'strategies.{name}']}: [strategies.{name}]", mend=mend
            )
    common = tuple(s.strip().upper() for s in config.market.symbols)
    by_option = loaded.sources.get("market.symbols") == COMMAND_LINE
    if common and not by_option:
        tables = {name: {"symbols": common, **tables.get(name, {})} for name in known}
    return build(classes, settings, ",".join(common) if by_option else None, tables)


def _place(use: str, name: str, source: str) -> str:
    """What `use` of a strategy's table names: a file is sought beside the configuration, the class is the table's name."""
    place, _, class_name = use.partition(":")
    if place.endswith((".py", *_COMPILED)):
        place = str(Path(source).parent / place)
    elif "." not in place:
        return use
    return f"{place}:{class_name or name}"


def make(cls: type[Strategy], parameters: Mapping[str, Any]) -> Strategy:
    """A strategy with its parameters. Raises ConfigError for what its own __init__ raises."""
    try:
        return cls(**parameters)
    except PyrtError:
        raise
    except Exception as e:  # of the user's own __init__
        raise ConfigError(f"{type(e).__name__}: {e}", where=f"{cls.__name__}()", mend="mend its __init__ and run again") from None


def load_class(name: str) -> type[Strategy]:
    """The Strategy class of a name."""
    place, _, class_name = name.partition(":")
    if place.endswith((".py", *_COMPILED)):
        return _pick(_from_file(Path(place)), class_name, name)
    for point in entry_points(group=GROUP):
        if point.name == name:
            try:
                return _checked(point.load(), name)
            except Exception as e:
                raise _failed(e, f"entry point {name}") from None
    if not class_name and "." not in place:
        raise ConfigError(f"no strategy {name!r}", where="--strategy", mend="write FILE.py, FILE.py:Class or dotted.name:Class")
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as e:
        if e.name and not place.startswith(e.name):
            raise ConfigError(f"{place} needs the package {e.name!r}", where="--strategy", mend=f"pip install {e.name}") from None
        raise ConfigError(f"no module {place!r}", where="--strategy", mend="check the name, or give a FILE.py") from None
    except Exception as e:
        raise _failed(e, place) from None
    return _pick(module, class_name, name)


def _from_file(path: Path) -> ModuleType:
    if path.suffix == ".pyx":
        path = check(path)
    if not path.is_file():
        raise ConfigError(f"{path} does not exist", where="--strategy", mend="check the path")
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python file", where="--strategy")
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(name, module)
        spec.loader.exec_module(module)
    except SyntaxError as e:
        raise ConfigError(f"SyntaxError: {e.msg}", where=f"{e.filename}:{e.lineno}", mend="mend the file and run again") from None
    except Exception as e:
        raise _failed(e, f"{path}:{_line_in(e, path)}") from None
    return module


def _module_name(path: Path) -> str:
    """The file's own name, unless another file's module has it: who looks a class's module up must find this one."""
    name = path.name.partition(".")[0]
    known = sys.modules.get(name)
    if known is None or getattr(known, "__file__", None) == str(path) or path.suffix != ".py":  # a compiled one knows its name
        return name
    return f"{name}_{blake2b(str(path.absolute()).encode(), digest_size=6).hexdigest()}"


def _failed(e: Exception, where: str) -> PyrtError:
    """What a user's module raised while it was imported, in one line."""
    if isinstance(e, PyrtError):
        return e
    return ConfigError(f"{type(e).__name__}: {' '.join(str(e).split())}", where=where, mend="mend the file and run again")


def _line_in(e: BaseException, path: Path) -> int:
    """The last line of the user's file on the way to what it raised."""
    line, tb = 1, e.__traceback__
    while tb is not None:
        if Path(tb.tb_frame.f_code.co_filename).absolute() == path.absolute():
            line = tb.tb_lineno
        tb = tb.tb_next
    return line


def _pick(module: ModuleType, class_name: str, name: str) -> type[Strategy]:
    if class_name:
        if not hasattr(module, class_name):
            raise ConfigError(f"{module.__name__} has no {class_name!r}", where="--strategy", mend="check the class name")
        return _checked(getattr(module, class_name), name)
    found = [v for v in vars(module).values() if _is_strategy(v) and v.__module__ == module.__name__]
    if len(found) != 1:
        names = ", ".join(c.__name__ for c in found) or "none"
        raise ConfigError(f"{name} holds {len(found)} strategies ({names})", where="--strategy", mend=f"write {name}:Class")
    return _checked(found[0], name)


def _is_strategy(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy


def _checked(value: Any, name: str) -> type[Strategy]:
    if not _is_strategy(value):
        raise ConfigError(f"{name} is not a Strategy", where="--strategy", mend="subclass pyrt.Strategy")
    return value  # type: ignore[no-any-return]  # _is_strategy has just proved it
