"""Readers of bars, ticks and quotes on made-up files whose truth is known."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from tests import synthetic

from pyrt._core.types import NO_PRICE, Flag, quote_dtype, trade_dtype
from pyrt.clock import DAY, MINUTE, SECOND
from pyrt.errors import ConfigError, DataError
from pyrt.history import open_history

pytestmark = pytest.mark.row("S022")
NEW_YORK = ZoneInfo("America/New_York")


def ns(*date, zone=UTC):
    return int(datetime(*date, tzinfo=zone).timestamp()) * 10**9


def read(spec):
    return np.concatenate(list(open_history(spec).chunks()))


@pytest.mark.row("S003")
@pytest.mark.parametrize(
    ("day", "hours"),
    [("20240308", 5), ("20240311", 4), ("20241101", 4), ("20241104", 5), ("20240310", 4), ("20241103", 5)],  # around clock changes
)
def test_lean_minutes_are_new_york_time(tmp_path, day, hours):
    rows = [(34_200_000 + i * 60_000, 1_000_000 + i, 1_000_100 + i, 999_900 + i, 1_000_050 + i, 100 * i) for i in range(3)]
    path = synthetic.lean(tmp_path, f"minute/syn/{day}_trade.zip", rows)
    source = open_history(f"lean:{path}")
    (bars,) = source.chunks()
    assert (source.kind, source.interval, source.instruments[0].symbol) == ("bars", MINUTE, "SYN")
    opened = ns(int(day[:4]), int(day[4:6]), int(day[6:])) + (9 * 60 + 30 + hours * 60) * MINUTE
    assert bars["start"].tolist() == [opened + i * MINUTE for i in range(3)]
    assert bars["ts_event"].tolist() == [opened + (i + 1) * MINUTE for i in range(3)]
    assert bars["open_px"].tolist() == [100 * 10**9 + i * 100_000 for i in range(3)]
    assert bars["volume"].tolist() == [0, 100 * 10**9, 200 * 10**9]


def test_lean_seconds_hours_and_days(tmp_path):
    path = synthetic.lean(tmp_path, "second/syn/20241129_trade.zip", [(34_201_000, 5, 5, 5, 5, 1), (34_203_000, 5, 6, 5, 6, 1)])
    assert read(f"lean:{path}")["interval"].tolist() == [SECOND] * 2
    rows = [("20240308 09:00", 5, 6, 4, 5, 10), ("20240311 15:00", 5, 6, 4, 5, 10)]
    hours = read(f"lean:{synthetic.lean(tmp_path, 'hour/syn.zip', rows)}")
    assert hours["start"].tolist() == [ns(2024, 3, 8, 14), ns(2024, 3, 11, 19)]
    days = read(f"lean:{synthetic.lean(tmp_path, 'daily/syn.zip', [('20240308 00:00', 5, 6, 4, 5, 10)])}")
    assert (days["start"][0], days["interval"][0]) == (ns(2024, 3, 8, 5), DAY)


def test_lean_ticks_say_what_counts(tmp_path):
    rows = [
        (1000, 50000, 100, "Q", "1", 0),
        (1001, 50001, 100, "P", "20000020", 0),
        (1002, 50002, 100, "D", "100000", 0),  # average price
        (1003, 50003, 100, "N", "2000", 0),  # extended hours
        (1004, 99999, 100, "N", "1", 1),  # suspicious
        (1005, 50005, 100, "N", "80000001", 0),  # odd lot
        (1006, 50006, 100, "N", "40", 0),  # opening print
    ]
    source = open_history(f"lean:{synthetic.lean(tmp_path, 'tick/syn/20241129_trade.zip', rows)}")
    (records,) = source.chunks()
    trades = records.view(trade_dtype)
    letters = [int(code).to_bytes(4, "little").rstrip(b"\0").decode() for code in trades["conditions"]]
    assert letters == ["@", "F", "W", "T", "I@", "O"]
    assert ((trades["flags"] & Flag.INELIGIBLE) != 0).tolist() == [False, False, True, True, True, False]
    assert source.counts == {"suspicious print": 1}
    assert bytes(trades["exchange"].tolist()) == b"QPDNNN"
    assert trades["ts_event"][0] == ns(2024, 11, 29, 5) + SECOND


def test_lean_quotes(tmp_path):
    rows = [(60_000, 10, 12, 9, 11, 300, 13, 14, 12, 13, 200), (120_000, "", "", "", "", "", 13, 14, 12, 13, 200)]
    quotes = read(f"lean:{synthetic.lean(tmp_path, 'minute/syn/20241129_quote.zip', rows)}").view(quote_dtype)
    assert quotes["bid_px"].tolist() == [1_100_000, NO_PRICE]
    assert quotes["ask_qty"].tolist() == [200 * 10**9] * 2
    assert quotes["ts_event"][0] == ns(2024, 11, 29, 5) + 2 * MINUTE - 1
    rows = [(60_000, 10, 300, 13, 200, "Q", "1", 0), (60_001, 10, 300, 13, 200, "Q", "1", 1)]
    source = open_history(f"lean:{synthetic.lean(tmp_path, 'tick/syn/20241129_quote.zip', rows)}")
    assert [len(chunk) for chunk in source.chunks()] == [1]
    assert source.counts == {"suspicious quote": 1}


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([(0, 5, 6, 4, 5, 1), (60_000, 5, 6, "x", 5, 1)], "line 2 column 4: 'x'"),
        ([(0, 5, 6, 4, 5, 1), (60_000, 5, 6, 4, 5)], "line 2: 5 columns instead of 6"),
        ([(0, 5, 6, 4, 5, 1), (60_000, 5, 6, 6, 5, 1)], "line 2: open and close"),
        ([(0, 5, 6)], "3 columns"),
    ],
)
def test_a_damaged_lean_file_names_the_place(tmp_path, rows, what):
    with pytest.raises(DataError, match=what):
        read(f"lean:{synthetic.lean(tmp_path, 'minute/syn/20241129_trade.zip', rows)}")


# ---------------------------------------------------------------------------------------------------- CSV
HEADER = "date,open,high,low,close,volume\n"


@pytest.mark.parametrize(
    ("header", "first", "second", "start"),
    [
        ("date", "2024-01-30", "2024-01-31", ns(2024, 1, 30)),
        ("Date", "20240130", "20240131", ns(2024, 1, 30)),
        ("", "2024/01/30", "2024/01/31", ns(2024, 1, 30)),
        ("Timestamp", "2024-01-30 09:30:00+00:00", "2024-01-30 09:31:00+00:00", ns(2024, 1, 30, 9, 30)),
        ("timestamp_utc", "2024-01-30 09:30:00", "2024-01-30 09:31:00", ns(2024, 1, 30, 9, 30)),
        ("time", "2024-01-30T09:30:00Z", "2024-01-30T09:31:00Z", ns(2024, 1, 30, 9, 30)),
        ("t", "2024-01-30T09:30:00-05:00", "2024-01-30T09:31:00-05:00", ns(2024, 1, 30, 14, 30)),
        ("unix", "1706607000", "1706607060", ns(2024, 1, 30, 9, 30)),
        ("open time", "1706607000000", "1706607060000", ns(2024, 1, 30, 9, 30)),
        ("time", "1706607000000000", "1706607060000000", ns(2024, 1, 30, 9, 30)),
        ("time", "1706607000000000000", "1706607060000000000", ns(2024, 1, 30, 9, 30)),
        ("date", "01/30/2024", "01/31/2024", ns(2024, 1, 30)),
        ("date", "20240130 09:30", "20240130 09:31", ns(2024, 1, 30, 9, 30)),
        ("date", "Jan 30, 2024", "Jan 31, 2024", ns(2024, 1, 30)),
    ],
)
def test_csv_times(tmp_path, header, first, second, start):
    path = tmp_path / "SYN.csv"
    path.write_text(
        f'\ufeff{header},Open,High,Low,Close,Volume\n"{first}",5,6,4,5,10\n\n"{second}",5,6,4,5,10.5\n', encoding="utf-8"
    )
    source = open_history(f"csv:{path}")
    (bars,) = source.chunks()
    assert bars["start"][0] == start
    assert bars["interval"][0] == source.interval == bars["start"][1] - start
    assert bars["volume"].tolist() == [10 * 10**9, 10_500_000_000]
    assert source.instruments[0].symbol == "SYN"


def test_csv_zone_date_and_time_columns_and_options(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("Date,Time,o,h,l,c\n2024-07-01,09:30,1.004,1.01,1,1.009\n2024-07-01,09:35,1,1,1,1\n")
    source = open_history(f"csv:{path}?zone=America/New_York&symbol=ABC&tick=0.01&interval=5m")
    (bars,) = source.chunks()
    assert bars["start"][0] == ns(2024, 7, 1, 13, 30)
    assert (bars["open_px"][0], bars["close_px"][0]) == (10**9, 1_010_000_000)
    assert source.counts == {"price rounded to the tick": 2}
    assert source.instruments[0].symbol == "ABC"
    assert open_history(f"csv:{path}").instruments[0].tick == 1_000_000


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "line 1: no column for time, open"),
        ("date,open,high,low\n", "line 1: no column for close"),
        (HEADER + "2024-01-30,5,6,4,nan,1\n", "line 2 column 'close': nan cannot be"),
        (HEADER + "2024-01-30,5,6,,5,1\n", "line 2 column 'low': '' is not a number"),
        (HEADER + "2024-01-30,5,6,-4,5,1\n", "line 2 column 'low': a price of -4"),
        (HEADER + "2024-01-30,0,6,0,5,1\n", "line 2 column 'open': a price of 0"),
        (HEADER + "2024-01-30,5,6,4,5,-1\n2024-01-31,5,6,4,5,1\n", "line 2 column 'volume': a volume of -1"),
        (HEADER + "2024-01-30,5,6,4,5,x\n2024-01-31,5,6,4,5,1\n", "line 2 column 'volume': 'x'"),
        (HEADER + "2024-01-30,5,6,4,7,1\n2024-01-31,5,6,4,5,1\n", "line 2: open and close are not between"),
        (HEADER + "2024-01-30,5,6,4\n", "line 2: 4 columns"),
        (HEADER + "yesterday,5,6,4,5,1\n", "line 2 column 'date': 'yesterday' is not a time"),
        (HEADER + "2024-01-31,5,6,4,5,1\n2024-01-30,5,6,4,5,1\n", "line 3: its time is not after"),
        (HEADER + "2024-01-31,5,6,4,5,1\n2024-01-31,5,6,4,5,1\n", "line 3: its time is not after"),
        (HEADER + "2024-01-31,5.00000000012,6,4,5,1\n", "line 2 column 'open': .* off the grid of 0.000000001.*tick=0.01"),
        (HEADER + "2024-01-31,1e300,6,4,5,1\n", "line 2 column 'open': 1e300 cannot be a price"),
        (HEADER + "2024-01-31,5,6,4,5,1\n", "one bar does not tell its interval"),
    ],
)
def test_csv_says_where_it_is_wrong(tmp_path, text, what):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=what):
        read(f"csv:{path}")


def test_csv_of_floats_and_great_volumes(tmp_path):
    path = tmp_path / "ETH/BTC.csv".replace("/", "_")
    path.write_text(
        HEADER
        + "2024-01-30,5.330000000000001e-05,5.4e-05,5.2e-05,5.3e-05,123456789012345.5\n2024-01-31,5e-05,5e-05,5e-05,5e-05,1\n"
    )
    source = open_history(f"csv:{path}?symbol=ETH/BTC")
    (bars,) = source.chunks()
    assert bars["open_px"].tolist() == [53_300, 50_000]
    terms = source.instruments[0]
    assert terms.qty_exp == 3
    assert bars["volume"].tolist() == [123_456_789_012_345_500, 1000]
    assert terms.tick == 100  # 0.0000001


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("parquet:x", "no format 'parquet'"),
        ("csv:x?colour=red", "csv has no option 'colour'"),
        ("csv:x?interval=5x", "interval=5x is not understood"),
        ("lobster:x?view=side", "view=side is not understood"),
    ],
)
def test_wrong_specs(spec, what):
    with pytest.raises(ConfigError, match=what):
        open_history(spec)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        open_history(f"csv:{tmp_path}/none.csv")
    for kind in ("lobster", "lean", "binance"):
        path = tmp_path / "20241129_trade.zip"
        path.write_text("no zip")
        with pytest.raises(DataError, match=r"20241129_trade\.zip"):
            list(open_history(f"{kind}:{path}").chunks())
