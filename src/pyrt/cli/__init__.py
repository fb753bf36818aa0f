"""The command line, one file a verb; a verb's file is imported when that verb runs."""

from importlib.metadata import PackageNotFoundError, version

from cyclopts import App

# verb -> (module:function, what --help says of it)
VERBS: dict[str, tuple[str, str]] = {
    "kill": ("pyrt.cli.kill:kill", "Stop: no further order leaves, what works is cancelled, and the latch stays closed."),
    "backtest": ("pyrt.cli.backtest:backtest", "Run strategies on recorded data, through the session of live trading."),
    "build": ("pyrt.cli.build:build", "Compile strategies written in Cython."),
    "download": ("pyrt.cli.download:download", "Fetch historical bars and keep them; a later run asks only for what is missing."),
    "run": ("pyrt.cli.run:run", "Trade: two example strategies on a simulated venue, unless told otherwise."),
    "status": ("pyrt.cli.status:status", "What a session holds and does, while it runs or after."),
    "orders": ("pyrt.cli.status:orders", "The orders of a session."),
    "flatten": ("pyrt.cli.flatten:flatten", "Cancel every order and close every position."),
    "resume": ("pyrt.cli.resume:resume", "Open a latch that a control or a kill closed."),
    "explain": ("pyrt.cli.explain:explain", "Say what shares are that the venue has and no fill explains: they are booked."),
    "limits": ("pyrt.cli.limits:app", "Show the risk limits in force, or change them."),
    "journal": ("pyrt.cli.journal:app", "Look at a session's journal: verify, show, export, rebuild its tables."),
    "backup": ("pyrt.cli.backup:backup", "Copy a session's state while it runs: journal, snapshots, recording, reports."),
    "restore": ("pyrt.cli.restore:restore", "Put a backup back; the next run reads from the venue what happened since."),
    "report": ("pyrt.cli.report:report", "The books of a day: orders, fills, P&L, slippage, alarms; compared with the venue."),
    "why": ("pyrt.cli.why:why", "Why an order was made: inputs, every limit with its headroom, its way."),
    "why-not": ("pyrt.cli.why:why_not", "Why nothing was traded: callbacks, refusals, latches at a time."),
    "replay": ("pyrt.cli.replay:replay", "Feed a recorded session to fresh components and compare everything it did."),
    "service": ("pyrt.cli.service:service", "Print a systemd unit that runs a session for months."),
    "doctor": ("pyrt.cli.doctor:doctor", "Is everything here that trading needs?"),
    "bench": ("pyrt.cli.bench:bench", "What one event costs on this machine."),
    "config": ("pyrt.cli.config:app", "Write, show or check a configuration."),
    "sim": ("pyrt.cli.sim:sim", "Run the venue in the box: an exchange that speaks Alpaca's protocol."),
}


def program_version() -> str:
    """Of the installed package."""
    try:
        return version("pyrt-trading")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


# What a verb's --help ends with; a verb with verbs of its own says it itself.
EXAMPLES: dict[str, str] = {
    "run": """Half a minute of the examples:

    pyrt run --for 30s

A strategy of your own, with a parameter and symbols:

    pyrt run --strategy my.py:Breakout --set Breakout.lookback=30 --symbols AAPL,TSLA

Settings from a file (`pyrt config init` writes one); decide everything, send nothing:

    pyrt run --config pyrt.toml --dry-run

Alpaca's paper account:

    APCA_API_KEY_ID=... APCA_API_SECRET_KEY=... pyrt run --venue alpaca-paper --strategy my.py
""",
    "status": """The session that was used last, then another one, for a program:

    pyrt status
    pyrt status --state ./state --json
""",
    "orders": """Those that may still fill, then all of them, for a program:

    pyrt orders
    pyrt orders --all --json
""",
    "flatten": """A simulated account, then Alpaca's paper account without a question:

    pyrt flatten --sim-state ./state
    pyrt flatten --venue alpaca-paper --yes
""",
    "resume": """The only latch that is closed, then one of several:

    pyrt resume --who anna --why "the feed is back, positions checked"
    pyrt resume --who anna --why "repaired" --scope strategy:SmaCross
""",
    "explain": """For the alarm POSITION_BREAK: shares that came or went without an order, by a transfer or a spin-off.
It needs the session to run, which alone knows what the venue has now. Cash does not change, and nothing is sent to the venue.

What is the difference? Nothing is booked. Then the same with the quantity that was told, and go on:

    pyrt explain AAPL --why "transfer from my other broker"
    pyrt explain AAPL --why "transfer from my other broker" --quantity 5
    pyrt resume --scope AAPL --who anna --why "explained: a transfer"

Shares that left, of a strategy; shares that a strategy shall manage, at what they once cost:

    pyrt explain AAPL --why "moved to the other account" --to SmaCross --quantity=-5
    pyrt explain AAPL --why "given to the strategy" --to SmaCross --cost 150.25 --quantity 5
""",
    "backup": """The session used last, while it runs; then another one, under a name of the hour:

    pyrt backup /backup/pyrt-1
    pyrt backup --state ./state /backup/pyrt-$(date +%F-%H)
""",
    "restore": """Where it came from, then somewhere else:

    pyrt restore /backup/pyrt-1
    pyrt restore /backup/pyrt-1 --state ./state
""",
    "report": """The last day of the session used last, with what the venue said at its end; then a day, asking the venue again:

    pyrt report
    pyrt report --day 2026-03-02 --state ./state --venue alpaca-paper
""",
    "why": """An order of the session used last, by its number:

    pyrt why 17
""",
    "why-not": """Half a minute of the session used last:

    pyrt why-not AAPL 15:31 --for 30
""",
    "replay": """The session used last, then every recorded run of another one:

    pyrt replay
    pyrt replay ./state --all
""",
    "service": """A unit for a configuration, checked and installed:

    pyrt service --config /etc/pyrt/pyrt.toml > pyrt.service
    systemd-analyze verify ./pyrt.service
    sudo install -m 644 pyrt.service /etc/systemd/system/
""",
    "doctor": """This machine, then Alpaca's paper account as seen from it:

    pyrt doctor
    pyrt doctor --venue alpaca-paper --config pyrt.toml
""",
}

_HELP = """Strategies in Python, native speed, and orders that are never lost and never doubled.

Trade half a minute on a simulated venue; nothing else is needed:

    pyrt run --for 30s

A strategy of your own on it, and what it holds afterwards:

    pyrt run --strategy my.py --symbols AAPL,MSFT --sim-state ./state
    pyrt status --state ./state

Is this machine ready? What can be configured?

    pyrt doctor
    pyrt config init pyrt.toml

Every verb explains itself: `pyrt run --help`. Completion for your shell: `pyrt --install-completion`.
"""

app = App(name="pyrt", help=_HELP, version=program_version)
app.register_install_completion_command()
for _verb, (_target, _help) in VERBS.items():
    _more = {"help_epilogue": EXAMPLES[_verb]} if _verb in EXAMPLES else {}
    app.command(_target, name=_verb, help=_help, **_more)
