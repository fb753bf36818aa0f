"""A broker with another behind it: what a bench notes of an order on its way, without a hand in the broker itself."""

from pyrt.ports import Broker, Cancel, Lookup, Replace, Submit, TakeSnapshot, Withdraw


class Noted:
    """Hands everything on. A bench overrides what it wants to see."""

    def __init__(self, behind: Broker) -> None:
        self._behind = behind

    def submit(self, command: Submit) -> None:
        self._behind.submit(command)

    def replace(self, command: Replace) -> None:
        self._behind.replace(command)

    def cancel(self, command: Cancel) -> None:
        self._behind.cancel(command)

    def withdraw(self, command: Withdraw) -> None:
        self._behind.withdraw(command)

    def lookup(self, command: Lookup) -> None:
        self._behind.lookup(command)

    def snapshot(self, command: TakeSnapshot) -> None:
        self._behind.snapshot(command)

    def close(self) -> None:
        self._behind.close()
