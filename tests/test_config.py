"""Configuration: files of both kinds, what wins, what is refused, and that no secret is ever shown."""

import json
import os
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyrt.cli.connect import keys_of, limits_of, settings_of, sizer_of
from pyrt.cli.postgres import database_of
from pyrt.config import Loaded, Secret, load_config
from pyrt.config.schema import SECTIONS, TYPED
from pyrt.config.text import descriptions, show, template
from pyrt.errors import ConfigError
from pyrt.process import bare_environment, holding
from pyrt.risk import Limits
from pyrt.signals import Fixed, Notional, Scaled

KEY, SECRET = "PKCANARY1234567890", "canary/secret+with=signs1234567890abcdef"
MARKET_DATA = {
    "alpaca_api_key": KEY,
    "alpaca_secret_key": SECRET,
    "zmq_pub_address": "tcp://*:5555",
    "symbols": ["AAPL", "MSFT"],
    "reconnect_delay_secs": 5,
}
RISK = {
    "max_position_size": 10000.0,
    "max_order_size": 1000.0,
    "max_daily_loss": 5000.0,
    "zmq_sub_address": "tcp://localhost:5555",
    "zmq_pub_address": "tcp://*:5557",
}
EXECUTION = {
    "alpaca_api_key": KEY,
    "alpaca_secret_key": SECRET,
    "max_retries": 3,
    "max_slippage_bps": 50,
    "rate_limit_per_minute": 200,
}


def write(path: Path, content: dict[str, Any] | str, mode: int = 0o600) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


def refused(*files: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(files)
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.row("S031", "S032", "S033", "S034")
def test_the_flat_file_of_market_data_is_read_as_its_section(tmp_path: Path) -> None:
    loaded = load_config([write(tmp_path / "market_data.json", MARKET_DATA)])
    assert loaded.config.venue.alpaca_api_key == Secret(KEY)
    assert loaded.config.venue.alpaca_secret_key == Secret(SECRET)
    assert loaded.config.market.symbols == ("AAPL", "MSFT")
    assert loaded.config.market.reconnect_delay_secs == 5.0
    assert loaded.notices == (f"{tmp_path / 'market_data.json'}: zmq_pub_address is not used in one process",)


@pytest.mark.row("S057", "S058", "S059", "S060")
def test_the_flat_file_of_risk_becomes_limits(tmp_path: Path) -> None:
    loaded = load_config([write(tmp_path / "risk.json", RISK, 0o644)])
    limits = limits_of(loaded)
    assert limits.max_position_notional == Decimal(10000)
    assert limits.max_order_notional == Decimal(1000)
    assert limits.max_daily_loss == Decimal(5000)
    assert limits.collar_bps == Limits.profile("paper").collar_bps
    assert [n.rpartition(": ")[2] for n in loaded.notices] == [
        "zmq_sub_address is not used in one process",
        "zmq_pub_address is not used in one process",
    ]


@pytest.mark.row("S069")
def test_the_flat_file_of_execution_loads_verbatim(tmp_path: Path) -> None:
    loaded = load_config([write(tmp_path / "execution.json", EXECUTION)])
    assert settings_of(loaded.config, 1.0).max_tries == 3
    assert loaded.config.execution.rate_limit_per_minute == 200
    assert limits_of(loaded).max_slippage_bps == 50
    assert keys_of(loaded.config).secret.reveal() == SECRET


def test_later_files_win_and_options_win_over_files(tmp_path: Path) -> None:
    first = write(tmp_path / "a.toml", "[execution]\nmax_retries = 1\nsettle_secs = 2\n[market]\nsymbols = ['A']\n")
    second = write(tmp_path / "b.json", {"max_retries": 2, "symbols": ["B"]})
    loaded = load_config([first, second], {"market": {"symbols": ["C"], "feed": None}})
    assert loaded.config.execution.max_retries == 2
    assert loaded.config.execution.settle_secs == 2.0
    assert loaded.config.market.symbols == ("C",)
    assert loaded.sources["execution.max_retries"] == str(second)
    assert loaded.sources["execution.settle_secs"] == str(first)
    assert loaded.sources["market.symbols"] == "command line"
    again = load_config([second, first])
    assert again.config.execution.max_retries == 1


def test_the_last_word_for_a_limit_holds_whichever_name_it_has(tmp_path: Path) -> None:
    flat = write(tmp_path / "a.json", {"max_position_size": 10})
    sections = write(tmp_path / "b.toml", "[risk]\nmax_position_notional = 20\n")
    assert limits_of(load_config([flat, sections])).max_position_notional == 20
    assert limits_of(load_config([sections, flat])).max_position_notional == 10
    both = write(tmp_path / "c.toml", "[risk]\nmax_position_notional = 30\nmax_position_size = 40\n")
    assert limits_of(load_config([both, sections])).max_position_notional == 20


def test_tables_of_strategies_are_laid_over_one_another(tmp_path: Path) -> None:
    first = write(tmp_path / "a.toml", "[strategies.Breakout]\nuse = 'my.py'\nlookback = 20\n")
    second = write(tmp_path / "b.toml", "[strategies.Breakout]\nlookback = 30\n")
    assert load_config([first, second]).config.strategies == {"Breakout": {"use": "my.py", "lookback": 30}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"max_position_sise": 1}, "unknown setting 'max_position_sise' -- did you mean 'max_position_size'?"),
        ({"symbol": ["A"]}, "did you mean 'symbols'?"),
        ({"zmq_address": "x"}, "did you mean 'zmq_"),
        ("[executoin]\n", "unknown section 'executoin' -- did you mean 'execution'?"),
        ("[execution]\nretries = 3\n", "[execution]: unknown setting 'retries' -- did you mean 'max_retries'?"),
        ("[market]\nsymbols = 'AAPL'\n", "[market] symbols: expected array, got str"),
        ("[market]\nsymbols = ['A', 3]\n", "[market] symbols: expected str, got int"),
        ("[market]\nreconnect_delay_secs = 0\n", "expected float > 0"),
        ("[market]\nreconnect_delay_secs = nan\n", "[market] reconnect_delay_secs"),
        ("[execution]\nmax_retries = -1\n", "expected int >= 0"),
        ("[execution]\nmax_retries = true\n", "expected int, got bool"),
        ("[market]\nfeed = 'opra'\n", "[market] feed"),
        ("venue = 3\n", "venue is no table"),
        ("[strategies]\nBreakout = 3\n", "Breakout is no table"),
        ("[venue\n", "is not TOML"),
        ("[venue]\nalpaca_api_key = 3\n", "[venue] alpaca_api_key: expected str"),
    ],
)
def test_what_nobody_knows_or_has_the_wrong_kind_is_refused(tmp_path: Path, content: dict[str, Any] | str, says: str) -> None:
    file = write(tmp_path / ("a.json" if isinstance(content, dict) else "a.toml"), content)
    said = refused(file)
    assert says in said
    assert str(file) in said


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refused(tmp_path / "none.toml")
    assert "not a regular file" in refused(Path("/dev/null"))
    assert "neither .toml nor .json" in refused(write(tmp_path / "a.yaml", "a: 1"))
    assert "is not JSON" in refused(write(tmp_path / "a.json", "{"))
    assert "no table" in refused(write(tmp_path / "b.json", "[1]"))
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe")
    assert "is not text" in refused(tmp_path / "c.toml")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_file_that_holds_keys_is_ours_alone(tmp_path: Path, mode: int) -> None:
    flat = write(tmp_path / "a.json", EXECUTION, mode)
    assert refused(flat) == f"{flat}: holds keys and is open to others (mode {mode:04o}) -- chmod 600 {flat}"
    toml = write(tmp_path / "a.toml", f"[strategies.Mine]\nmy_password = '{SECRET}'\n", mode)
    assert "open to others" in refused(toml)
    write(tmp_path / "b.toml", "[venue]\nalpaca_api_key = ''\n[execution]\nmax_retries = 1\n", mode)
    assert load_config([tmp_path / "b.toml"]).config.execution.max_retries == 1


def test_a_dsn_makes_its_file_private_and_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = "postgresql://user:Canary-Horse-77@host/database"
    file = write(tmp_path / "a.toml", f'[postgres]\ndsn = "{dsn}"\nreader = "r"\n', 0o644)
    assert "open to others" in refused(file)
    file.chmod(0o600)
    loaded = load_config([file])
    assert "Horse" not in show(loaded, {}) + repr(loaded.config)
    database = database_of(loaded.config)
    assert database is not None
    assert (database.dsn.reveal(), database.reader, database.schema_of("abcdefgh")) == (dsn, "r", "pyrt_abcdefgh")
    monkeypatch.delenv("PYRT_POSTGRES_DSN", raising=False)
    monkeypatch.delenv("PYRT_POSTGRES_DSN_FILE", raising=False)
    assert database_of(load_config().config) is None
    monkeypatch.setenv("PYRT_POSTGRES_DSN", "postgresql://other@host/database")
    assert database_of(loaded.config) == database  # a file that was named wins over the environment
    found = database_of(load_config().config)
    assert found is not None
    assert found.dsn.reveal() == "postgresql://other@host/database"
    with holding():  # a strategy and a child do not see it
        assert "PYRT_POSTGRES_DSN" not in os.environ
        assert database_of(load_config().config) == found
    assert "PYRT_POSTGRES_DSN" in os.environ
    assert "PYRT_POSTGRES_DSN" not in bare_environment()


def test_one_key_alone_is_refused(tmp_path: Path) -> None:
    loaded = load_config([write(tmp_path / "a.json", {"alpaca_api_key": KEY})])
    with pytest.raises(ConfigError, match="alpaca_secret_key is missing"):
        keys_of(loaded.config)


@pytest.mark.parametrize("bad", ["two words", "line\nbreak", "ünïcode"])
def test_a_key_that_no_key_can_be_is_refused_without_being_quoted(tmp_path: Path, bad: str) -> None:
    said = refused(write(tmp_path / "a.json", {"alpaca_api_key": bad, "alpaca_secret_key": "x"}))
    assert "a character that no key has" in said
    assert bad not in said


@pytest.mark.row("S031")
def test_no_secret_is_shown(tmp_path: Path) -> None:
    write(tmp_path / "a.json", EXECUTION)
    write(tmp_path / "b.toml", f"[strategies.Mine]\napi_key = '{SECRET}'\nnested = {{ token = '{SECRET}' }}\n")
    loaded = load_config([tmp_path / "a.json", tmp_path / "b.toml"])
    text = show(loaded, msgspec.to_builtins(limits_of(loaded)))
    assert 'alpaca_api_key = "***"' in text
    for shown in (text, repr(loaded.config.venue), str(loaded.config.venue)):
        assert SECRET not in shown
        assert KEY not in shown


def test_the_template_holds_every_default_and_says_what_each_means(tmp_path: Path) -> None:
    file = write(tmp_path / "a.toml", template(), 0o644)
    assert load_config([file]).config == load_config().config
    written = tomllib.loads(template().replace("# alpaca_", "alpaca_"))
    for name, kind in TYPED.items():
        assert set(written[name]) == set(kind.__struct_fields__)
        assert all(descriptions(kind).values())
    assert set(written) == {*SECTIONS} - {"strategies"}


def test_what_is_shown_can_be_read_again(tmp_path: Path) -> None:
    write(tmp_path / "a.toml", '[risk]\nmax_order_qty = "1.5"\nrestricted = ["TSLA"]\n[strategies.A]\nx = 1.5\ny = "q\\"uote"\n')
    loaded = load_config([tmp_path / "a.toml"])
    again = load_config([write(tmp_path / "b.toml", show(loaded, msgspec.to_builtins(limits_of(loaded))))])
    assert limits_of(again) == limits_of(loaded)
    assert again.config.strategies == loaded.config.strategies
    assert again.config.signals == loaded.config.signals


def _signals(**values: Any) -> Loaded:
    return load_config((), {"signals": values})


def test_the_sizer_is_what_signals_says() -> None:
    fixed = sizer_of(load_config((), {}).config)
    assert isinstance(fixed, Fixed)
    assert fixed.quantity == 1
    notional = sizer_of(_signals(sizer="notional", amount=2500, scaled=True).config)
    assert isinstance(notional, Scaled)
    assert isinstance(notional.sizer, Notional)
    assert notional.sizer.amount == 2500 * 10**9
    for value in (0, -1, "NaN", "Infinity"):
        with pytest.raises(ConfigError, match="give a number above 0"):
            sizer_of(_signals(quantity=value).config)
