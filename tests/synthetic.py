"""Small files of every format that history reads, made by a seeded market with known truth: the data tests that always run.

python -m tests.synthetic FOLDER [SEED]
"""

import gzip
import json
import random
import sys
import zipfile
import zlib
from pathlib import Path

NONE = 9_999_999_999


class Orders:
    """Resting orders by id; prices in ten-thousandths."""

    def __init__(self, rng, middle=1_000_000, tick=100):
        self.rng, self.middle, self.tick = rng, middle, tick
        self.orders = {}
        self.last = 0

    def add(self, far=12):
        buy = self.rng.random() < 0.5
        asks, bids = self.side(False), self.side(True)
        edge = (asks[0][0] if asks else self.middle) - self.tick if buy else (bids[0][0] if bids else self.middle) + self.tick
        px = edge - self.rng.randrange(far) * self.tick * (1 if buy else -1)
        self.last += self.rng.randint(1, 5)
        self.orders[self.last] = [buy, px, self.rng.randint(1, 9) * 50]
        return self.last

    def side(self, buy):
        """(price, size) best first."""
        total = {}
        for is_buy, px, size in self.orders.values():
            if is_buy == buy:
                total[px] = total.get(px, 0) + size
        return sorted(total.items(), reverse=buy)

    def take(self, number, size):
        """Take away from an order; what it was."""
        was = list(self.orders[number])
        self.orders[number][2] -= size
        if not self.orders[number][2]:
            del self.orders[number]
        return was


def lobster(folder, rng, levels=3, rows=600, day="2024-11-29", halts=True):
    """A zip; returns (path, rows as (type, asks, bids) in units)."""
    book = Orders(rng)
    for _ in range(20):
        book.add()
    messages, states, truth = [], [], []
    ns = 34_200 * 10**9
    while len(truth) < rows:
        ns += rng.randrange(10**9)
        before = book.side(False)[:levels], book.side(True)[:levels]
        kind, number = rng.choices((1, 2, 3, 4, 5, 6, 7), (50, 10, 35, 15, 5, 1, int(halts)))[0], 0
        if kind in (2, 3, 4) and not book.orders:
            kind = 1
        if kind == 1:
            number = book.add()
            buy, px, size = book.orders[number]
        elif kind in (2, 3, 4):
            best = [n for n in book.orders if book.orders[n][1] == (before[1] if book.orders[n][0] else before[0])[0][0]]
            number = rng.choice(best if kind == 4 or rng.random() < 0.4 else list(book.orders))
            left = book.orders[number][2]
            size = left if kind == 3 else rng.randint(1, left - 1) if kind == 2 and left > 1 else left
            kind = 3 if kind == 2 and size == left else kind
            buy, px, _ = book.take(number, size)
        else:
            buy, px, size = rng.random() < 0.5, book.middle + 37, 100
            if kind == 7:
                px, size = rng.choice((-10_000, 0, 10_000)) // 10_000, 0
        after = book.side(False)[:levels], book.side(True)[:levels]
        if kind <= 4 and px not in {p for p, _ in (before[buy] + after[buy])}:
            continue  # not in view
        messages.append(f"{ns // 10**9}.{ns % 10**9:09d},{kind},{number},{size},{px},{1 if buy else -1}")
        cells = []
        for i in range(levels):
            for side, none in ((after[0], NONE), (after[1], -NONE)):
                cells += list(side[i]) if i < len(side) else [none, 0]
        states.append(",".join(map(str, cells)))
        truth.append((kind, *([(p * 100_000, q * 10**9) for p, q in side] for side in after)))
    path = folder / f"SYN_{day}_{levels}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for what, lines in (("message", messages), ("orderbook", states)):
            archive.writestr(f"SYN_{day}_34200000_57600000_{what}_{levels}.csv", "\n".join(lines) + "\n")
    return path, truth


class Levels:
    """A level book of decimals, as integers of the last place."""

    def __init__(self, rng, middle, size):
        self.rng, self.size = rng, size
        self.middle = middle
        self.sides = {"b": {}, "a": {}}

    def change(self, n):
        """Random changes that never cross: {(side, px): qty}."""
        out = {}
        for _ in range(n):
            side = self.rng.choice("ba")
            away = self.rng.randint(1, 40)
            px = self.middle - away if side == "b" else self.middle + away
            qty = 0 if self.rng.random() < 0.3 else self.rng.randint(1, self.size)
            self.sides[side].pop(px, None)
            if qty:
                self.sides[side][px] = qty
            out[side, px] = qty
        return out

    def best(self, side, n):
        return sorted(self.sides[side].items(), reverse=side == "b")[:n]


def text(value, decimals):
    whole, part = divmod(value, 10**decimals)
    return f"{whole}.{part:0{decimals}d}" if decimals else str(whole)


def binance(folder, rng, futures=False, events=300, lose=()):
    """gz lines; returns (path, {update id: (bid, ask)} in px and qty units). Events named in `lose` are left out."""
    book, lines, best = Levels(rng, 50_000, 10**7), [], {}
    recv, update, before = 1_700_000_000 * 10**9, 1000, 990
    for i in range(events):
        recv += rng.randrange(10**8)
        stamp = recv // 10**6 + 1200
        first, update = update + 1, update + rng.randint(1, 5)
        changes = book.change(rng.randint(0, 5) if i else 60)
        levels = {s: [[text(px, 2), text(q, 5)] for (side, px), q in changes.items() if side == s] for s in "ba"}
        data = {"e": "depthUpdate", "E": stamp, "s": "SYNUSDT", "U": first, "u": update, **levels}
        if futures:
            data |= {"U": first + 7, "pu": before}
        before = update
        if i not in lose:
            lines.append(f"{recv} " + json.dumps({"stream": "x", "data": data}))
        if all(book.best(s, 1) for s in "ba") and i % 3 == 0:
            (bid, bid_qty), (ask, ask_qty) = book.best("b", 1)[0], book.best("a", 1)[0]
            best[update] = ((bid * 10**7, bid_qty), (ask * 10**7, ask_qty))
            told = {"u": update, "s": "SYNUSDT", "b": text(bid, 2), "B": text(bid_qty, 5), "a": text(ask, 2), "A": text(ask_qty, 5)}
            lines.append(f"{recv} " + json.dumps({"data": told | ({"e": "bookTicker", "E": stamp} if futures else {})}))
        if i == 5:
            whole = {k: [[text(px, 2), text(q, 5)] for px, q in book.best(s, 99)] for k, s in (("bids", "b"), ("asks", "a"))}
            lines.append(f"{recv} " + json.dumps({"lastUpdateId": update, **whole}))
            lines.append(f"{recv} " + json.dumps({"data": {"e": "somethingNew", "s": "SYNUSDT"}}))
        if i % 7 == 0:
            px = "0" if futures and i % 14 == 0 else "500.01"
            print_ = {"e": "trade", "E": stamp, "s": "SYNUSDT", "t": i, "p": px, "q": "0.00001", "T": stamp - 1, "m": i % 2 == 0}
            lines.append(f"{recv} " + json.dumps({"data": print_}))
    path = folder / f"binance_{'futures' if futures else 'spot'}.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path, best


def kraken_book(folder, rng, depth=10, events=400):
    """gz lines of one pair whose book is cut at a small depth: what leaves the view is told by nobody."""
    book, lines, stamp = Levels(rng, 30_000, 10**10), [], 1_618_678_132

    def line(message):
        lines.append(f"{stamp}.{rng.randrange(10**6):06d}: " + json.dumps(message))

    def shown(side, levels):
        return [[text(px, 4), text(q, 8), f"{stamp}.123456"] for px, q in levels]

    lines.append(f'wss://ws.example <- {stamp}.1: {{"event":"subscribe"}}')
    line({"event": "heartbeat"})
    book.change(200)
    seen = {s: dict(book.best(s, depth)) for s in "ba"}
    line([1, {"as": shown("a", book.best("a", depth)), "bs": shown("b", book.best("b", depth))}, f"book-{depth}", "SYN/USD"])
    for _ in range(events):
        stamp += 1
        book.change(rng.randint(1, 3))
        now = {s: dict(book.best(s, depth)) for s in "ba"}
        parts = []
        for s in "ab":
            told = [(px, q) for px, q in now[s].items() if seen[s].get(px) != q]
            told += [(px, 0) for px in seen[s] if px not in now[s] and px not in book.sides[s]]
            if told:
                parts.append({s: shown(s, told)})
        if parts:
            top = "".join(f"{px}{q}" for s in "ab" for px, q in book.best(s, 10))
            parts[-1]["c"] = str(zlib.crc32(top.encode()))
            line([1, *parts, f"book-{depth}", "SYN/USD"])
        seen = now
    path = folder / "kraken.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def bitstamp(folder, rng, events=60):
    """A folder of two files; returns it with the best bid and ask at the end."""
    book, ws, micro = Levels(rng, 20_000, 10**9), [], 1_641_343_690_000_000
    target = folder / "bitstamp"
    target.mkdir()
    book.change(80)
    for i in range(events):
        micro += 1000
        changes = book.change(2)
        sides = {
            k: [[text(px, 2), text(q, 8)] for (side, px), q in changes.items() if side == s]
            for k, s in (("bids", "b"), ("asks", "a"))
        }
        message = {
            "event": "data",
            "channel": "diff_order_book_synusd",
            "data": {"timestamp": "1", "microtimestamp": str(micro), **sides},
        }
        ws.append(f"{micro / 1e6:.6f}: {json.dumps(message)}")
        if i == 20:
            whole = {k: [[text(px, 2), text(q, 8)] for px, q in book.best(s, 99)] for k, s in (("bids", "b"), ("asks", "a"))}
            whole["asks"].append(["9999999999.00", "1.00000000"])
            http = {"timestamp": "1", "microtimestamp": str(micro), **whole}
            line = f"https://venue.example/api/v2/order_book/synusd -> {(micro + 5000) / 1e6:.6f}: {json.dumps(http)}\n"
            (target / "SYN.http.0.0").write_text(line)
    (target / "SYN.ws.1.0").write_text("\n".join(ws))
    return target, (book.best("b", 1)[0], book.best("a", 1)[0])


def lean(folder, name, rows):
    """A zip as Lean keeps it; `name` is its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(path.name.replace(".zip", ".csv"), "".join(",".join(map(str, row)) + "\r\n" for row in rows))
    return path


def main(argv):
    folder, rng = Path(argv[1]), random.Random(int(argv[2]) if len(argv) > 2 else 0)
    folder.mkdir(parents=True, exist_ok=True)
    for path in (lobster(folder, rng)[0], binance(folder, rng)[0], kraken_book(folder, rng), bitstamp(folder, rng)[0]):
        print(path)


if __name__ == "__main__":
    main(sys.argv)
