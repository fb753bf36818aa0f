"""`pyrt service`: a systemd unit for a session that nobody looks at."""

import re
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pyrt.errors import ConfigError
from pyrt.process import KEY_NAMES

SILENT = 30  # s without a sign of life from the loop after which it is killed; the watchdog has cancelled entries long before
END = 120  # s for an orderly end, and for the watchdog's sweep where the end was none: never less than they may take
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}")

UNIT = """\
# {name}.service: install it in /etc/systemd/system. The keys, each alone in a file of root's (mode 0600):
#   {credentials}/{key}
#   {credentials}/{secret}
[Unit]
Description=pyrt trading session {name}
Documentation=man:systemd.service(5)
Wants=network-online.target time-sync.target
After=network-online.target time-sync.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
User={user}
ExecStart={command}
LoadCredential={key}:{credentials}/{key}
LoadCredential={secret}:{credentials}/{secret}
StateDirectory={name}
StateDirectoryMode=0700
Environment=PYTHONUNBUFFERED=1 XDG_STATE_HOME=%S/{name} HOME=%S/{name}

# A session begins when it has recovered from the venue, however long that takes; its loop then says that it lives.
TimeoutStartSec=infinity
WatchdogSec={silent}
Restart=on-failure
RestartSec=15
# SIGINT ends it in order. Its watchdog process stays until entries are cancelled, so nothing is killed before that.
KillSignal=SIGINT
KillMode=control-group
TimeoutStopSec={end}
OOMPolicy=continue
OOMScoreAdjust=-500

LimitCORE=0
LimitNOFILE=65536
MemoryMax={memory}
TasksMax=256
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"""


def service(
    *,
    config: Annotated[list[Path], Parameter(consume_multiple=False, negative="")],
    limits: Path | None = None,
    account: str | None = None,
    name: str = "pyrt",
    user: str = "pyrt",
    credentials: Path | None = None,
    memory: str = "2G",
) -> None:
    """Print a hardened systemd unit that runs a session. Nothing is installed.

    The unit is up when recovery has ended (`systemctl status` shows what the session does), is restarted where it fails or
    hangs, gets its keys as credentials, and may write nowhere but to /var/lib/NAME.

    Parameters
    ----------
    config
        As for `pyrt run`; may be repeated.
    limits
        As for `pyrt run`.
    account
        As for `pyrt run`.
    name
        Of the unit and of its directory in /var/lib.
    user
        That it runs as; make one for it alone: useradd --system pyrt.
    credentials
        Directory of root's with the files APCA_API_KEY_ID and APCA_API_SECRET_KEY; by default /etc/NAME/keys.
    memory
        More than this and the kernel ends it.
    """
    for where, value in (("--name", name), ("--user", user)):
        if not _NAME.fullmatch(value):
            raise ConfigError(f"{value!r} is no name", where=where, mend="use letters, digits, - and _")
    if not re.fullmatch(r"[1-9][0-9]{0,14}[KMGT]?", memory):
        raise ConfigError(f"{memory!r} is no size", where="--memory", mend="write it like 2G")
    words = [sys.executable, "-m", "pyrt", "run", "--no-view", "--journal", f"/var/lib/{name}/session"]
    for file in config:
        words += ["--config", _there(file, "--config")]
    if limits is not None:
        words += ["--limits", _there(limits, "--limits")]
    if account is not None:
        words += ["--account", account]
    keys = str(credentials.absolute()) if credentials is not None else f"/etc/{name}/keys"
    key, secret = KEY_NAMES[0]
    command = " ".join(_quoted(word) for word in words)
    text = UNIT.format(
        name=name, user=user, command=command, key=key, secret=secret, credentials=keys, silent=SILENT, end=END, memory=memory
    )
    print(text, end="")


def _there(file: Path, where: str) -> str:
    if not file.is_file():
        raise ConfigError("no such file", where=f"{where} {file}", mend="write it first: `pyrt config init`")
    return str(file.absolute())


def _quoted(word: str) -> str:
    """A word of ExecStart: no specifier, no variable, no blank that splits it."""
    if not word.isprintable():
        raise ConfigError("a name with a control character", where=repr(word), mend="rename it")
    word = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    return f'"{word}"' if re.search(r"[\s\"';\\]", word) else word
