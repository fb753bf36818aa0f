"""The job as a strategy of pyrt, run by the command's own function with its defaults, on the venue of the environment."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # pyrt loads this file by its path

from told import SYMBOL, TARGET, believe, data, listen, tell

from pyrt import Strategy


class Hold(Strategy):
    """Brings the position to the target, one share an order."""

    symbols = (SYMBOL,)

    def on_start(self) -> None:
        self.orders: list[object] = []
        tell("ready")
        self.set_timer("look", 1.0)

    def on_timer(self, name: str) -> None:
        self.set_timer("look", 1.0)
        held = self.position(SYMBOL).quantity
        pending = sum(order.quantity - order.filled for order in self.open_orders(SYMBOL))
        if held + pending < TARGET:
            self.orders.append(self.buy(SYMBOL, 1))
        reached = [order for order in self.orders if not order.is_refused and (order.filled or not order.is_done)]
        believe(float(held), len(reached))

    def on_quote(self, quote: object) -> None:
        data()


if __name__ == "__main__":
    from pyrt.cli.run import run

    listen()
    run(
        strategy=[f"{__file__}:Hold"],
        sim_url=os.environ["APCA_API_BASE_URL"],
        journal=Path(sys.argv[1]),
        view=False,
        rate_limit=0,
    )
