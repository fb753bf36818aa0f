import base64
import copy
import logging
import os
import pickle
import re
from io import StringIO
from pathlib import Path
from urllib.parse import quote

import pytest

from pyrt.config import Secret, SecretFilter, mask_logs
from pyrt.errors import ConfigError
from pyrt.venues.alpaca.keys import PAPER, SIM, check_url, load_keys

CANARY = "cAnArY/secret+value=0001"


@pytest.mark.row("S031")
def test_keys_from_either_pair_of_variables() -> None:
    for names in (("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"), ("ALPACA_API_KEY", "ALPACA_SECRET_KEY")):
        keys = load_keys({names[0]: "K1", names[1]: CANARY})
        assert (keys.key.reveal(), keys.secret.reveal()) == ("K1", CANARY)


@pytest.mark.parametrize(
    "environ", [{}, {"APCA_API_KEY_ID": "K"}, {"ALPACA_SECRET_KEY": CANARY}, {"APCA_API_KEY_ID": "K", "ALPACA_SECRET_KEY": CANARY}]
)
def test_half_a_pair_is_refused_with_the_name_of_the_other_half(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="_FILE") as error:
        load_keys(environ)
    assert CANARY not in str(error.value)


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.row("S031")
def test_keys_from_files_of_the_environment_and_from_one_file(tmp_path: Path) -> None:
    key, secret = private(tmp_path / "k", "K1\n"), private(tmp_path / "s", f"{CANARY}\n", 0o400)
    keys = load_keys({"APCA_API_KEY_ID_FILE": str(key), "APCA_API_SECRET_KEY_FILE": str(secret)})
    assert (keys.key.reveal(), keys.secret.reveal()) == ("K1", CANARY)
    both = private(tmp_path / "both", f"# mine\nexport APCA_API_KEY_ID='K2'\nAPCA_API_SECRET_KEY={CANARY}\n")
    keys = load_keys({}, file=both)
    assert (keys.key.reveal(), keys.secret.reveal()) == ("K2", CANARY)


def test_a_systemd_credential(tmp_path: Path) -> None:
    private(tmp_path / "APCA_API_KEY_ID", "K3", 0o400)
    private(tmp_path / "APCA_API_SECRET_KEY", CANARY, 0o400)
    assert load_keys({"CREDENTIALS_DIRECTORY": str(tmp_path)}).key.reveal() == "K3"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_file_open_to_others_is_refused_with_how_to_mend_it(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "keys", f"APCA_API_KEY_ID=K\nAPCA_API_SECRET_KEY={CANARY}\n", mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {re.escape(str(path))}") as error:
        load_keys({}, file=path)
    assert CANARY not in str(error.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "keys", "APCA_API_KEY_ID=K\n")
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match="another user"):
        load_keys({}, file=path)


def test_what_is_no_key_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_keys({}, file=tmp_path / "absent")
    with pytest.raises(ConfigError):
        load_keys({}, file=tmp_path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    binary.chmod(0o600)
    with pytest.raises(ConfigError, match="not text"):
        load_keys({}, file=binary)


@pytest.mark.parametrize("value", ["with space", "line\nbreak", "tab\there", "ümlaut"])
def test_a_value_that_would_break_a_header_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_keys({"APCA_API_KEY_ID": "K", "APCA_API_SECRET_KEY": value})
    assert value not in str(error.value)


# ---------------------------------------------------------------------------------------------------- hosts
@pytest.mark.parametrize(
    ("url", "venue"),
    [
        ("http://127.0.0.1:8080", SIM),
        ("ws://127.0.0.1:8080/stream", SIM),
        ("http://localhost:1", SIM),
        ("http://[::1]:8080", SIM),
        ("https://paper-api.alpaca.markets", PAPER),
        ("https://data.alpaca.markets", PAPER),
        ("wss://paper-api.alpaca.markets/stream", PAPER),
        ("wss://stream.data.alpaca.markets/v2/iex", PAPER),
        ("https://paper-api.alpaca.markets:443/v2", PAPER),
    ],
)
def test_hosts_on_the_list(url: str, venue: str) -> None:
    assert check_url(url) == check_url(url, venue) == venue
    with pytest.raises(ConfigError, match="belongs to"):
        check_url(url, PAPER if venue == SIM else SIM)


@pytest.mark.parametrize(
    "url",
    [
        "http://paper-api.alpaca.markets",
        "ws://paper-api.alpaca.markets/stream",
        "https://paper-api.alpaca.markets.evil.example",
        "https://evil.example/paper-api.alpaca.markets",
        "https://paper-api.alpaca.markets@evil.example",
        "https://user:pw@paper-api.alpaca.markets",
        "https://paper-api.alpaca.markets:8443",
        "https://xpaper-api.alpaca.markets",
        "https://127.0.0.1",
        "http://10.0.0.1:8080",
        "http://0.0.0.0:8080",
        "http://127.0.0.1.evil.example",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "127.0.0.1:8080",
        "http://[::1",
        "",
    ],
)
def test_every_other_host_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        check_url(url)


@pytest.mark.parametrize("url", ["https://api.alpaca.markets", "wss://api.alpaca.markets/stream", "http://api.alpaca.markets"])
def test_live_is_refused_with_the_reason(url: str) -> None:
    with pytest.raises(ConfigError, match="fault programme has not passed"):
        check_url(url)
    with pytest.raises(ConfigError, match="fault programme has not passed"):
        check_url("https://paper-api.alpaca.markets", "alpaca-live")


# ---------------------------------------------------------------------------------------------------- secrets
def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret(CANARY)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>10}", "%s" % secret, f"{[secret]}", f"{secret!r}"]  # noqa: UP031
    assert not any("cAnArY" in text for text in shown)
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == CANARY
    assert secret == Secret(CANARY) != Secret("other")
    assert len({secret, Secret(CANARY)}) == 1
    assert copy.deepcopy([secret])[0] is secret is copy.copy(secret)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(secret, protocol)


def encodings(value: str) -> list[str]:
    raw = value.encode()
    basic = [
        base64.b64encode(prefix + raw + suffix).decode()
        for prefix in (b"", b"u:", b"ab:", b"abc:")
        for suffix in (b"", b"x", b"yz")
    ]
    urlsafe = [base64.urlsafe_b64encode(b"key:" + raw).decode()]
    return [value, quote(value), quote(value, safe=""), raw.hex(), *basic, *urlsafe]


@pytest.mark.parametrize("text", encodings(CANARY))
def test_the_filter_masks_a_value_in_every_encoding(text: str) -> None:
    masked = SecretFilter(Secret(CANARY)).mask(f"before {text} after")
    assert "***" in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    left = masked.removeprefix("before ").removesuffix(" after").replace("***", "")
    assert len(left) <= max(len(text) - len(CANARY), 12)


@pytest.mark.row("S031")
def test_the_filter_masks_messages_arguments_tracebacks_and_nested_values() -> None:
    output = StringIO()
    logger = logging.Logger("test")
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    mask_logs(Secret(CANARY), Secret("K1"), logger=logger)
    logger.warning("plain %s and %r", CANARY, {"headers": [{"APCA-API-SECRET-KEY": CANARY}]})
    logger.warning(f"formatted {CANARY}")
    try:
        raise ValueError(f"bad value {CANARY}")
    except ValueError:
        logger.exception("it failed", stack_info=True)
    logger.warning("K1 is too short to be masked")
    text = output.getvalue()
    assert "cAnArY" not in text
    assert text.count("***") >= 4
    assert "ValueError: bad value ***" in text
    assert "K1 is too short" in text


def test_a_credential_that_root_owns_is_read_by_the_service_it_was_lent_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has access lists, systemd leaves root the owner: the mode shows the list's mask as the group's bits."""
    if os.getuid():
        pytest.skip("giving a file to root needs root")
    for name in ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"):
        (tmp_path / name).write_text("K3\n")
        (tmp_path / name).chmod(0o440)
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    assert load_keys({"CREDENTIALS_DIRECTORY": str(tmp_path)}).key.reveal() == "K3"
    with pytest.raises(ConfigError, match="another user"):
        load_keys({f"{name}_FILE": str(tmp_path / name) for name in ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")})
    (tmp_path / "APCA_API_KEY_ID").chmod(0o444)
    with pytest.raises(ConfigError, match="open to others"):
        load_keys({"CREDENTIALS_DIRECTORY": str(tmp_path)})
