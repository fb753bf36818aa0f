"""docs/ring.md shows what happens."""

import sys

import pytest
from tests.docs.test_examples import ROOT, run

from pyrt import RingBuffer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="rings need Linux")


@pytest.mark.row("S014")
def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    run(ROOT / "docs" / "ring.md")
    shown = capsys.readouterr().out.splitlines()
    assert shown == ["[190000000000 190010000000 190020000000]", "190020000000 behind by 0", "live"]
    assert not RingBuffer.remove("example")
