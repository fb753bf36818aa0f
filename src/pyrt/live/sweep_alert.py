"""The alert of a watchdog that sweeps: the session is dead, hangs or is blind, so a process of its own tells it by every way."""

import logging
import os
import sys
import time
from contextlib import suppress

import msgspec

from pyrt.config.schema import AlertsSection
from pyrt.config.secret import Secret, mask_logs
from pyrt.errors import ConfigError
from pyrt.live.alerts import Alerts
from pyrt.model import Alarmed
from pyrt.process import confine

log = logging.getLogger("pyrt")
FAREWELL = 60.0  # s: nobody waits for this process
_LARGEST = 16_384  # bytes; what the watchdog is told crosses a pipe in one piece


def handed_on(config: AlertsSection, venue: str, account: str) -> Secret:
    """What tells by these ways, as text, secrets and all; for a process of ours alone. Raises ConfigError where it is too long."""
    values = {name: getattr(config, name) for name in config.__struct_fields__}
    plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}
    text = msgspec.json.encode({"config": plain, "venue": venue, "account": account})
    if len(text) > _LARGEST:
        raise ConfigError(f"are {len(text)} bytes", where="[alerts]", mend=f"{_LARGEST} are the most: shorten the addresses")
    return Secret(text.decode())


def alerts_of(text: str) -> Alerts:
    """The ways that `handed_on` wrote. Raises ConfigError for one that cannot work."""
    told = msgspec.json.decode(text)
    config = msgspec.convert(told["config"], AlertsSection, dec_hook=lambda _, value: Secret(value))
    mask_logs(*(secret for secret in (config.webhook, config.heartbeat, config.smtp_password) if secret))
    return Alerts(config, venue=told["venue"], account=told["account"])


def main() -> None:
    """Read a word from standard input, tell it, end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    confine()
    with suppress(OSError):
        os.nice(10)  # the cancels go first
    word = msgspec.json.decode(sys.stdin.buffer.read())
    try:
        alerts = alerts_of(word["alerts"])
    except ConfigError as e:
        log.error("%s was told to nobody: %s", word["code"], e)
        return
    alerts.hear(Alarmed(severity="critical", code=word["code"], text=word["text"], ts=time.time_ns()))
    alerts.close(FAREWELL)
    sent = ", ".join(name for name, (gone, _) in alerts.sent.items() if gone)
    log.info("%s was told by %s", word["code"], sent or "no way")
