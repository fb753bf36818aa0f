"""Configuration files: TOML with sections, and the flat JSON files of single components. Later files win."""

import difflib
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pyrt.config.schema import ADDRESSES, ELSEWHERE, FLAT, SECTIONS, TYPED, Config
from pyrt.config.secret import Secret
from pyrt.errors import ConfigError

_LARGEST = 1 << 20
_SECRET_WORDS = ("secret", "password", "token", "api_key", "apikey", "webhook", "dsn")
COMMAND_LINE = "command line"


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration with what was said about it; `sources` names for "section.key" the file that it came from."""

    config: Config
    notices: tuple[str, ...] = ()
    sources: dict[str, str] = {}


def load_config(files: Iterable[Path | str] = (), options: Mapping[str, Mapping[str, Any]] | None = None) -> Loaded:
    """Defaults, then the files in their order, then `options` (section -> key -> value; None is no value).

    Raises ConfigError: a file that cannot be read, is not what its name says, holds keys but is open to others; an unknown name,
    with the nearest; a value of the wrong kind.
    """
    merged: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    sources: dict[str, str] = {}
    notices: list[str] = []
    for file in files:
        path = Path(file)
        content = _parse(path)
        for section, key, value in _entries(content, path.suffix.lower() == ".json", str(path), notices):
            _put(merged[section], section, key, value, str(path), sources)
    for section, values in (options or {}).items():
        for key, value in values.items():
            if value is not None:
                _put(merged[section], section, key, value, COMMAND_LINE, sources)
    typed = {name: _convert(name, merged[name], sources) for name in TYPED}
    config = Config(**typed, risk=merged["risk"], strategies=merged["strategies"])
    return Loaded(config=config, notices=tuple(dict.fromkeys(notices)), sources=sources)


def read_toml(path: Path) -> dict[str, Any]:
    """A file that is TOML whatever its name, such as one of limits. Raises ConfigError."""
    text, _ = _read(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"is not TOML: {e}", where=str(path), mend="see the profile `paper` for an example") from None
    except RecursionError:
        raise ConfigError("is nested too deeply", where=str(path), mend="see the profile `paper` for an example") from None


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name is shown masked, and makes its file private."""
    return any(word in name.lower() for word in _SECRET_WORDS)


def _put(section: dict[str, Any], name: str, key: str, value: Any, source: str, sources: dict[str, str]) -> None:
    old = section.pop(key, None)  # taken out first: what was said last is also last in order
    section[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    sources[f"{name}.{key}"] = source


def _parse(path: Path) -> dict[str, Any]:
    text, mode = _read(path)
    try:
        if path.suffix.lower() == ".json":
            content = msgspec.json.decode(text)
        elif path.suffix.lower() == ".toml":
            content = tomllib.loads(text)
        else:
            raise ConfigError("is neither .toml nor .json", where=str(path), mend="name it so that its end says what it is")
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"is not TOML: {e}", where=str(path), mend="`pyrt config init` writes an example") from None
    except RecursionError:
        raise ConfigError("is nested too deeply", where=str(path), mend="`pyrt config init` writes an example") from None
    except msgspec.DecodeError as e:
        raise ConfigError(f"is not JSON: {e}", where=str(path), mend="check it with `python -m json.tool`") from None
    if not isinstance(content, dict):
        raise ConfigError("is no table of settings", where=str(path), mend='write {"name": value, ...}')
    if mode and _holds_secret(content):
        raise ConfigError(mode[0], where=str(path), mend=mode[1])
    return content


def _read(path: Path) -> tuple[str, tuple[str, str] | None]:
    """The text, and what would forbid it to hold keys with how to mend that; the open file is judged, not the name."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError("is not a regular file", where=str(path), mend="give a file")
            mode = None
            if status.st_uid != os.geteuid():
                mode = ("holds keys and belongs to another user", f"chown $(id -un) {path}")
            elif status.st_mode & 0o077:
                bits = stat.S_IMODE(status.st_mode)
                mode = (f"holds keys and is open to others (mode {bits:04o})", f"chmod 600 {path}")
            content = file.read(_LARGEST + 1)
            if len(content) > _LARGEST:  # half a file would be another configuration
                raise ConfigError(f"is larger than {_LARGEST:,} bytes", where=str(path), mend="give a file of settings")
            return content.decode(), mode
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", where=str(path), mend="check the path") from None
    except UnicodeDecodeError:
        raise ConfigError("is not text", where=str(path), mend="save it as UTF-8") from None


def _holds_secret(content: Mapping[str, Any]) -> bool:
    return any(
        _holds_secret(value) if isinstance(value, Mapping) else bool(value) and is_secret_name(key)
        for key, value in content.items()
    )


def _entries(content: dict[str, Any], json: bool, where: str, notices: list[str]) -> Iterable[tuple[str, str, Any]]:
    """(section, key, value) of a file, each checked and in the section where it belongs."""
    if json and not any(isinstance(content.get(name), dict) for name in SECTIONS):
        for key, value in content.items():
            if key in ADDRESSES:
                notices.append(f"{where}: {key} is not used in one process")
            else:
                _known(key, (*FLAT, *ADDRESSES), where)
                yield FLAT[key], key, value
        return
    for section, table in content.items():
        _known(section, SECTIONS, where, "section")
        if not isinstance(table, dict):
            raise ConfigError(f"{section} is no table", where=where, mend=f"write [{section}] and its settings below")
        yield from _section(section, table, where, notices)


def _section(section: str, table: dict[str, Any], where: str, notices: list[str]) -> Iterable[tuple[str, str, Any]]:
    place = f"{where}: [{section}]"
    for key, value in table.items():
        if key in ADDRESSES:
            notices.append(f"{place} {key} is not used in one process")
        elif key in ELSEWHERE.get(section, ()):
            yield ELSEWHERE[section][key], key, value
        elif section == "strategies":
            if not isinstance(value, dict):
                raise ConfigError(f"{key} is no table", where=place, mend=f"write [strategies.{key}] and its parameters below")
            yield section, key, value
        else:
            if section in TYPED:
                names = TYPED[section].__struct_fields__
                _known(key, (*names, *ELSEWHERE.get(section, ()), *ADDRESSES), place)
            yield section, key, value


def _known(name: str, names: Sequence[str], where: str, what: str = "setting") -> None:
    if name in names:
        return
    near = difflib.get_close_matches(name, names, 1, 0.0)
    raise ConfigError(f"unknown {what} {name!r}", where=where, mend=f"did you mean {near[0]!r}?")


def _convert(name: str, values: dict[str, Any], sources: dict[str, str]) -> Any:
    try:
        return msgspec.convert(values, TYPED[name], dec_hook=_secret)
    except msgspec.ValidationError as e:
        what, _, at = str(e).partition(" - at `$.")
        key = at.rstrip("`").partition("[")[0]
        where = f"{sources.get(f'{name}.{key}', 'configuration')}: [{name}] {key}"
        what = what[:1].lower() + what[1:].replace("`", "")
        raise ConfigError(what, where=where, mend="see `pyrt config show`") from None


def _secret(kind: type, value: Any) -> Any:
    if kind is Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str):
            raise TypeError("Expected `str`")
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ValueError("Holds a character that no key has")
        return Secret(value)
    raise NotImplementedError(kind)
