"""The account's activities that are counted: a bounded number of names, and none of them ever counted twice."""

from pyrt.clock import SECOND

KEPT = 20_000  # names; a busy account has some thousands a year
KEPT_FOR = 30 * 86_400 * SECOND  # venue ns that one is known at least: activities come late and bear only a date


class Told:
    """Names of activities, the oldest of which are let go; from then on all that happened before them counts as told.

    An activity is booked after it happened: what is let go happened before `floor`, so that it is not taken for a new one. A new
    one that is told so late is not booked; the cash then differs, and that is told.
    """

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}  # name -> venue ns at which it was booked, the oldest first
        self.floor = 0  # venue ns; 0 = none was let go

    def add(self, name: str, booked: int) -> None:
        """One is booked."""
        self.ids.setdefault(name, booked)
        while len(self.ids) > KEPT:
            oldest, at = next(iter(self.ids.items()))
            if at > booked - KEPT_FOR:
                return
            del self.ids[oldest]
            self.floor = max(self.floor, at)

    def knows(self, name: str, happened: int) -> bool:
        """Whether one is counted already, or may be; happened: venue ns, 0 = not told."""
        return name in self.ids or (self.floor > 0 and happened <= self.floor)

    def __len__(self) -> int:
        return len(self.ids)

    def save(self) -> tuple[int, list[tuple[str, int]]]:
        """Everything, to go on from."""
        return self.floor, list(self.ids.items())

    def restore(self, state: tuple[int, list[tuple[str, int]]]) -> None:
        """Go on from what was saved."""
        self.floor, ids = state
        self.ids = dict(ids)
