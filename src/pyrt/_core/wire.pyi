from collections.abc import Iterable
from typing import final

from typing_extensions import Buffer

from pyrt._core.encode import Encoder as Encoder
from pyrt._core.messages import Messages

@final
class Decoder(Messages):
    def __new__(cls, codec: str = "msgpack", *, feed_flag: int = 0, ineligible: Iterable[int] = ...) -> Decoder: ...
    def feed(self, frame: Buffer, ts_recv: int) -> int: ...
