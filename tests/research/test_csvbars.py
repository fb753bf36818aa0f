"""CSV files as people have them."""

from pathlib import Path

import pytest

from pyrt.clock import DAY, MINUTE
from pyrt.errors import DataError
from pyrt.research.csvbars import read_bars
from tests.research.conftest import START


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "aapl.csv"
    path.write_text(text)
    return path


ROW = "100,101.5,99.25,100.1,1200\n"


@pytest.mark.parametrize(
    ("header", "times"),
    [
        ("Date,Open,High,Low,Close,Volume", ("2026-03-02 14:30:00", "2026-03-02 14:31:00")),
        ("timestamp,open,high,low,close,volume", (str(START // 10**9), str(START // 10**9 + 60))),
        ("timestamp,o,h,l,c,v", (str(START // 10**6), str(START // 10**6 + 60_000))),
        ("time,open,high,low,close,volume", (str(START), str(START + MINUTE))),
        ("datetime,open,high,low,close,volume", ("2026-03-02T09:30:00-05:00", "2026-03-02T09:31:00-05:00")),
        ("date,time,open,high,low,close,volume", ("2026-03-02,14:30:00", "2026-03-02,14:31:00")),
    ],
)
def test_many_forms_of_time(tmp_path: Path, header: str, times: tuple[str, str]) -> None:
    text = f"{header}\n" + "".join(f"{t},{ROW}" for t in times)
    bars = read_bars(write(tmp_path, text))["AAPL"]
    assert bars["start"].tolist() == [START, START + MINUTE]
    assert bars["interval"].tolist() == [MINUTE, MINUTE]
    assert bars["high_px"][0] == 101_500_000_000
    assert bars["volume"][0] == 1200 * 10**9


def test_days_and_symbols(tmp_path: Path) -> None:
    rows = ["20260302,MSFT", "20260302,SPY", "20260303,MSFT", "20260303,SPY"]
    found = read_bars(write(tmp_path, "date,symbol,open,high,low,close,volume\n" + "".join(f"{r},{ROW}" for r in rows)))
    assert sorted(found) == ["MSFT", "SPY"]
    assert found["SPY"]["interval"].tolist() == [DAY, DAY]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("2026-03-02 14:31:00,100,abc,99,100,1", "high: "),
        ("2026-03-02 14:31:00,100,nan,99,100,1", "high: "),
        ("2026-03-02 14:31:00,100,101,-99,100,1", "low is -99"),
        ("2026-03-02 14:31:00,100,98,99,100,1", "do not fit"),
        ("2026-03-02 14:31:00,100,101", "has 3 columns"),
        ("yesterday,100,101,99,100,1", "not a time"),
        ("2026-03-02 14:29:00,100,101,99,100,1", "not newer"),
        ("2026-03-02 14:31:00,100,1e30,99,100,1", "high: "),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, row: str, says: str) -> None:
    path = write(tmp_path, f"date,open,high,low,close,volume\n2026-03-02 14:30:00,{ROW}{row}\n")
    with pytest.raises(DataError) as e:
        read_bars(path)
    assert says in str(e.value)
    assert f"{path}:3" in str(e.value)


def test_a_file_without_the_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column for high"):
        read_bars(write(tmp_path, "date,open,close\n"))
    with pytest.raises(DataError, match="no bars"):
        read_bars(write(tmp_path, "date,open,high,low,close\n"))
    with pytest.raises(DataError, match="cannot be read"):
        read_bars(tmp_path / "none.csv")
