"""Settings: what can be configured, the files it comes from, and the values that are secret."""

from pyrt.config.files import COMMAND_LINE, Loaded, load_config
from pyrt.config.schema import Config
from pyrt.config.secret import MASK, Secret, SecretFilter, Veiled, know, mask_logs, masked

__all__ = [
    "COMMAND_LINE",
    "MASK",
    "Config",
    "Loaded",
    "Secret",
    "SecretFilter",
    "Veiled",
    "know",
    "load_config",
    "mask_logs",
    "masked",
]
