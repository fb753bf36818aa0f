"""The command line, one file a verb; a verb's file is imported when that verb runs."""

from importlib.metadata import PackageNotFoundError, version

from cyclopts import App

# verb -> (module:function, what --help says of it)
VERBS: dict[str, tuple[str, str]] = {
    "kill": ("pyrt.cli.kill:kill", "Stop: no further order leaves, what works is cancelled, and the latch stays closed."),
    "backtest": ("pyrt.cli.backtest:backtest", "Run strategies on recorded data, through the session of live trading."),
    "download": ("pyrt.cli.download:download", "Fetch historical bars and keep them; a later run asks only for what is missing."),
    "run": ("pyrt.cli.run:run", "Trade: two example strategies on a simulated venue, unless told otherwise."),
    "sim": ("pyrt.cli.sim:sim", "Run the venue in the box: an exchange that speaks Alpaca's protocol."),
}


def _version() -> str:
    try:
        return version("pyrt-trading")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


app = App(
    name="pyrt", help="Strategies in Python, native speed, and orders that are never lost and never doubled.", version=_version
)
for _verb, (_target, _help) in VERBS.items():
    app.command(_target, name=_verb, help=_help)
