"""How far back a start reads: to what the life before had surely seen, however long nobody lived since."""

from tests.reference.bench import Bench

from pyrt.clock import SECOND
from pyrt.model import Recovered
from pyrt.ports import Start, StreamState, TakeSnapshot

DAY = 86_400 * SECOND
UP = StreamState(stream="trading", up=True)


def test_a_start_after_days_reads_from_before_they_began() -> None:
    bench = Bench()
    bench.start()
    seen = bench.told(Recovered)[0].ts
    for _ in range(2):  # the first one dies before it read anything
        again = Bench(bench.facts)
        again.t = 5 * DAY
        again.on(Start(epoch=again.engine.epoch + 1))
        bench.facts = again.facts
        again.on(UP)
        assert again.asked(TakeSnapshot)[0].since == seen - DAY
