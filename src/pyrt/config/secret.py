"""Settings that are secret, and the log filter that keeps them so."""

import base64
import hmac
import logging
import traceback
from collections.abc import Iterable
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus

import msgspec

MASK = "***"
_SHORTEST = 6  # a shorter value would mask ordinary words


class Secret:
    """A value that shows itself only through `reveal`: not in repr, str, a format string or a pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value; for the line that sends it, nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled")


class Veiled(msgspec.Struct, frozen=True):
    """A struct that must hold its keys as text, because it is sent: neither they nor the ways of alerts are shown or pickled."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, MASK if name in ("key", "secret", "alerts") else getattr(self, name)) for name in self.__struct_fields__]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not pickled")


def _forms(value: str) -> Iterable[str]:
    """The texts by which a value may turn up: as it is, URL-encoded, hex, and base64 at each of the three alignments."""
    raw = value.encode()
    yield from (value, quote(value), quote(value, safe=""), quote_plus(value), raw.hex(), repr(value)[1:-1])
    for shift in range(3):
        # The characters at either end also carry bits of the neighbours; only those between belong to the value alone.
        start = -(-shift * 8 // 6)
        stop = (shift + len(raw)) * 8 // 6
        text = base64.b64encode(b"\0" * shift + raw + b"\0\0").decode()[start:stop]
        yield from (text, text.replace("+", "-").replace("/", "_"))


class SecretFilter(logging.Filter):
    """Replaces every form of the given secrets in a log record: message, arguments, traceback and stack.

    Attach it to handlers: a logger's own filter does not see what its children log. Values shorter than 6 characters are
    left alone.
    """

    def __init__(self, *secrets: Secret) -> None:
        super().__init__()
        forms = {form for secret in secrets for form in _forms(secret.reveal()) if len(secret.reveal()) >= _SHORTEST}
        self._forms = sorted((form for form in forms if len(form) >= _SHORTEST), key=len, reverse=True)

    def mask(self, text: str) -> str:
        """The text without any form of the secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask a record in place; never drops it."""
        try:
            message = record.getMessage()
        except Exception:  # a wrong format: logging itself would print the arguments, whatever they hold, beside it
            message = f"{record.msg} {record.args!r}"
            record.msg, record.args = message, ()
        masked = self.mask(message)
        if masked != message:
            record.msg, record.args = masked, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if record.exc_text and (masked := self.mask(record.exc_text)) != record.exc_text:
            # Without the exception itself, or a handler that formats on its own would show it.
            record.exc_text, record.exc_info = masked, None
        if record.stack_info:
            record.stack_info = self.mask(record.stack_info)
        return True


_known: set[Secret] = set()
_every = SecretFilter()


def know(*secrets: Secret) -> None:
    """From here on `masked` hides these values, whoever wrote them into a text."""
    global _every
    if not _known.issuperset(secrets):
        _known.update(secrets)
        _every = SecretFilter(*_known)


def masked(text: str) -> str:
    """The text without any form of a secret that this process knows."""
    return _every.mask(text)


def mask_logs(*secrets: Secret, logger: logging.Logger | None = None) -> SecretFilter:
    """Put one SecretFilter on every handler of `logger` (the root by default) and return it, for handlers added later."""
    know(*secrets)
    secret_filter = SecretFilter(*secrets)
    for handler in (logger or logging.getLogger()).handlers:
        handler.addFilter(secret_filter)
    return secret_filter
