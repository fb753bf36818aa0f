"""Records as frames of the data stream, msgpack or JSON."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from pyrt._core.types import RecordType
from pyrt.clock import SECOND
from pyrt.venues.sim.rows import bar_rows, quote_rows, trade_rows
from pyrt.venues.sim.times import parse_time

Records = npt.NDArray[np.void]


class Encoder:
    """`codec` is msgpack or json; a frame is one array of messages."""

    def __init__(self, codec: str) -> None:
        self._msgpack = codec == "msgpack"
        self._known: dict[int, tuple[str, float]] = {}

    def register(self, symbol: str, instrument: int, *, qty_exp: int = 9) -> None:
        """Introduce an instrument."""
        self._known[instrument] = (symbol, 10.0**qty_exp)

    def encode(self, records: Records) -> bytes:
        """Trades and quotes as one frame; other records are left out."""
        messages = []
        for index, (kind, instrument) in enumerate(zip(records["type"].tolist(), records["instrument"].tolist(), strict=True)):
            symbol, scale = self._known[instrument]
            one = records[index : index + 1]
            if kind == RecordType.TRADE:
                messages.append({"T": "t", "S": symbol} | trade_rows(one, scale)[0])
            elif kind == RecordType.QUOTE:
                messages.append({"T": "q", "S": symbol} | quote_rows(one, scale)[0])
        return self._frame(messages)

    def encode_bars(self, bars: Records, kind: str = "b") -> bytes:
        """Bars as one frame; kind is b, u or d."""
        messages = []
        for index, instrument in enumerate(bars["instrument"].tolist()):
            symbol, scale = self._known[instrument]
            messages.append({"T": kind, "S": symbol} | bar_rows(bars[index : index + 1], scale)[0])
        return self._frame(messages)

    def _frame(self, messages: list[dict[str, Any]]) -> bytes:
        if not self._msgpack:
            return msgspec.json.encode(messages)
        for message in messages:
            message["t"] = timestamp(parse_time(message["t"]))
        return msgspec.msgpack.encode(messages)


def timestamp(ns: int) -> msgspec.msgpack.Ext:
    """Ns UTC as msgpack's timestamp extension of 8 bytes."""
    seconds, fraction = divmod(ns, SECOND)
    return msgspec.msgpack.Ext(-1, (fraction << 34 | seconds).to_bytes(8, "big"))
