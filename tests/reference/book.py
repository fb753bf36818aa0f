"""An order book as two dicts: slow, obvious, and what the fast one must equal."""

BUY, SELL = 1, 2


class ReferenceBook:
    def __init__(self, tick: int) -> None:
        self.tick = tick
        self.sides: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}
        self.refused = 0

    def update(self, side: int, px: int, qty: int) -> bool:
        if px % self.tick or qty < 0 or side not in self.sides:
            self.refused += 1
            return False
        if qty:
            self.sides[side][px] = qty
        else:
            self.sides[side].pop(px, None)
        return True

    def clear(self) -> None:
        for levels in self.sides.values():
            levels.clear()

    def levels(self, side: int) -> list[tuple[int, int]]:
        return sorted(self.sides[side].items(), reverse=side == BUY)

    def best(self, side: int) -> tuple[int, int] | None:
        levels = self.sides[side]
        if not levels:
            return None
        px = max(levels) if side == BUY else min(levels)
        return px, levels[px]

    def imbalance(self, n: int) -> float:
        bids = sum(qty for _, qty in self.levels(BUY)[:n])
        asks = sum(qty for _, qty in self.levels(SELL)[:n])
        return (bids - asks) / (bids + asks) if bids + asks else 0.0

    def walk(self, side: int, qty: int) -> tuple[int, int, int | None, bool]:
        filled, notional, worst = 0, 0, None
        for px, there in self.levels(SELL if side == BUY else BUY):
            take = min(there, qty - filled)
            if take <= 0:
                break
            filled, notional, worst = filled + take, notional + px * take, px
        return filled, notional, worst, filled >= qty
