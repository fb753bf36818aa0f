"""The broken policies of the specification."""

# ruff: noqa: E501 -- quoted source keeps its lines

from tests.faults.mutant_list.mutant import Mutant, one

_SUBMIT = "pyrt.execution.submit"
_JOURNAL = "pyrt.journal.journal"
_SHELL = "pyrt.live.shell"
_SESSION = "pyrt.session"

POLICIES: tuple[Mutant, ...] = (
    one(
        "no-fsync",
        "the journal says durable and never syncs",
        _JOURNAL,
        'if durability == "sync":\n        return LINGER, True, True',
        'if durability == "sync":\n        return LINGER, True, False',
    ),
    one(
        "record-after-post",
        "an order leaves before its intent is appended",
        _SESSION,
        "        for command in commands:\n            if isinstance(command, Append):",
        '        for command in sorted(commands, key=lambda c: type(c).__name__ != "Submit"):\n            if isinstance(command, Append):',
    ),
    one(
        "random-id",
        "each attempt has a client order id of its own",
        _SUBMIT,
        "        cid=order.cid,\n        symbol=",
        '        cid=__import__("uuid").uuid4().hex,\n        symbol=',
    ),
    one(
        "post-without-waiting",
        "an order leaves as soon as its intent is appended",
        _SHELL,
        "if self._held or self.journal.durable < self._barrier:",
        "if self._held:",
    ),
)
