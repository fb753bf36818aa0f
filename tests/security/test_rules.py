"""S4, S5, S9, S10, S12: what a reader of the source can check, a test checks."""

import ast
import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.security.reproducible import _SECRETS

import pyrt
from pyrt.config import Secret
from pyrt.ports import QueryFailed
from pyrt.venues.alpaca import lanes
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.lanes import Lane, Task
from pyrt.venues.alpaca.session import VenueSession
from pyrt.venues.alpaca.transport import venue_session

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "pyrt"
PYTHON = sorted(SRC.rglob("*.py"))

# ---------------------------------------------------------------------------------------------------- S5: data is never code
_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "yaml", "jsonpickle", "telnetlib"}
_CALLS = {"eval", "exec", "compile", "__import__", "send_pyobj", "recv_pyobj", "read_pickle", "to_pickle", "literal_eval"}
_FALSE = {"allow_pickle", "allow_redirects"}  # keywords that may only be the word False
_HTTP = {"requests.get", "requests.post", "requests.request", "session.get", "session.post", "_session.get", "_session.post"}


def named(function: ast.expr) -> tuple[str, str]:
    """The name of what is called, and what it is called on, where that is a plain name."""
    if isinstance(function, ast.Name):
        return function.id, ""
    if isinstance(function, ast.Attribute):
        on = function.value
        return function.attr, on.id if isinstance(on, ast.Name) else on.attr if isinstance(on, ast.Attribute) else "?"
    return "", ""


def dangers(tree: ast.AST) -> Iterator[str]:
    """Every way by which data could become code, and keys go where they should not."""
    imported: set[str] = set()
    for node in sorted((n for n in ast.walk(tree) if hasattr(n, "lineno")), key=lambda n: n.lineno):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            imported.update(names)
            yield from (f"{node.lineno}: imports {n}" for n in names if n.split(".")[0] in _MODULES)
        elif isinstance(node, ast.Call):
            yield from (f"{node.lineno}: {what}" for what in wrong_in(node, "requests" in imported))


def wrong_in(call: ast.Call, requests: bool) -> Iterator[str]:
    """What is wrong with one call."""
    name, owner = named(call.func)
    given = {k.arg: k.value.value if isinstance(k.value, ast.Constant) else "?" for k in call.keywords}
    if name in _CALLS and (name, owner) != ("compile", "re"):
        yield f"calls {name}"
    yield from (f"{word} is not False" for word in _FALSE & given.keys() if given[word] is not False)
    if given.get("shell", False) is not False and owner == "subprocess":
        yield "a shell"
    if given.get("verify", True) is not True:
        yield "TLS that is not verified"
    if (owner, name) in (("np", "load"), ("numpy", "load")) and "allow_pickle" not in given:
        yield "np.load without allow_pickle=False"
    if requests and f"{owner}.{name}" in _HTTP and "allow_redirects" not in given:
        yield "a request that follows redirects"
    if name == "_create_unverified_context" or (name == "starttls" and "context" not in given):
        yield "TLS that takes any certificate"


@pytest.mark.parametrize("path", PYTHON, ids=lambda p: str(p.relative_to(SRC)))
def test_no_data_becomes_code_and_tls_is_verified(path: Path) -> None:
    assert not list(dangers(ast.parse(path.read_text())))


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import yaml",
        "eval(x)",
        "exec(x)",
        "compile(x, '', 'exec')",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "np.load(f, allow_pickle=flag)",
        "subprocess.run(x, shell=True)",
        "import requests\nrequests.get(u)",
        "session.get(u, verify=False, allow_redirects=False)",
        "session.get(u, allow_redirects=True)",
        "s.starttls()",
        "ssl._create_unverified_context()",
        "sock.send_pyobj(x)",
    ],
)
def test_the_search_for_dangers_finds_them(code: str) -> None:
    assert list(dangers(ast.parse(code)))
    assert not list(dangers(ast.parse("re.compile('x'); np.load(f, allow_pickle=False); session.get(u, allow_redirects=False)")))


# ---------------------------------------------------------------------------------------------------- S9: SQL by parameters
_SQL = {"execute", "executemany", "executescript", "copy"}
# Statements put together from text: each holds names from a table of ours, never a value.
_COMPOSED = {
    "journal/projection.py": 3,
}


def composed(tree: ast.AST) -> list[int]:
    """Lines where a statement is an f-string, a sum, a % or a .format."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SQL and node.args:
            first = node.args[0]
            formatted = isinstance(first, ast.Call) and isinstance(first.func, ast.Attribute) and first.func.attr == "format"
            sql_module = formatted and "SQL" in ast.dump(first)  # psycopg's own composition quotes names
            if isinstance(first, (ast.JoinedStr, ast.BinOp)) or (formatted and not sql_module):
                found.append(node.lineno)
    return found


def test_statements_hold_parameters() -> None:
    found = {str(p.relative_to(SRC)): len(lines) for p in PYTHON if (lines := composed(ast.parse(p.read_text())))}
    assert found == _COMPOSED
    assert composed(ast.parse("db.execute(f'SELECT {x}'); db.execute('a' + b); db.execute('%s' % x)")) == [1, 1, 1]


# ---------------------------------------------------------------------------------------------------- S12: queues have bounds
# (file, name): what bounds it. A new queue without `maxlen` or `maxsize` fails this test until its bound is written here.
QUEUES = {
    ("execution/engine.py", "_own"): "facts of one step, emptied by `apply` before the next",
    ("journal/projection_feed.py", "_queue"): "`queue` facts; beyond, the journal is read instead and let_go counts",
    ("live/alerts.py", "_queue"): "WAITING alerts, half of them alarms; beyond, one is lost and says so",
    ("live/replay.py", "_sent"): "commands of one entry of a recording that is read",
    ("live/shell.py", "_held"): "orders that wait for the disk: each has a reservation, and max_open_orders counts it",
    ("market/told.py", "_blocks"): "of keys within the margin of the newest, or in and near holes: HELD at most",
    ("market/told.py", "_newest"): "one number for each block of keys",
    ("market/sequencer.py", "_waiting"): "`most` records; beyond, the oldest go and a gap is flagged",
    ("research/parity.py", "setdefault"): "answers of a recording that is read whole",
    ("research/tape.py", "_waiting"): "chunks of a file that is read on demand",
    ("session.py", "_told"): "within a step: empty when `step` returns",
    ("session.py", "_calls"): "within a step: empty when `step` returns",
    ("session.py", "_queue"): "within a step: empty when `step` returns",
    ("venues/alpaca/budget.py", "_sent"): "requests of the last window, at most the limit",
    ("venues/alpaca/lanes.py", "_queue"): "MOST tasks; beyond, a task is lost at once and says so",
    ("venues/alpaca/stream.py", "controls"): "_CONTROLS messages until the stream is up",
    ("venues/sim/server/events.py", "events"): "WAITING events of a reader; beyond, it is cut off",
    ("venues/sim/server/outbox.py", "_frames"): "FULL bytes; beyond, the client counts as slow",
}


def queues(path: Path) -> Iterator[tuple[str, str]]:
    """(file, name) of every queue that is made without a bound of its own."""
    name = str(path.relative_to(SRC))
    for line in path.read_text().splitlines():
        if re.search(r"\b(deque|Queue|LifoQueue|PriorityQueue|SimpleQueue)\(\)", line):
            target = re.search(r"(?:self\.)?(\w+)(?::[^=]*)? = ", line)
            yield name, target[1] if target and ".setdefault(" not in line else "setdefault"


def test_every_queue_has_a_bound_that_is_named() -> None:
    found = {queue for path in PYTHON for queue in queues(path)}
    assert found - set(QUEUES) == set(), "a queue without a bound: give it one, and name it here"
    assert set(QUEUES) - found == set(), "named here and no longer there"


def test_a_full_lane_loses_no_task_without_a_word() -> None:
    events: list[Any] = []
    begun, go_on = threading.Event(), threading.Event()

    def connect() -> VenueSession:
        begun.set()
        go_on.wait(60)
        return venue_session("http://127.0.0.1:1", Keys(Secret("key"), Secret("secret")))

    def task() -> Task:
        return Task(
            lambda task, session: QueryFailed(query=1, text="done"),
            lambda sent, text: QueryFailed(query=2, text=text),
            events.append,
        )

    lane = Lane("full", connect)
    begun.wait(60)
    for _ in range(lanes.MOST + 5):
        lane.put(task())
    assert [event.text for event in events] == ["too many requests wait"] * 5
    go_on.set()
    lane.close()
    lane.join(60)
    assert len(events) == lanes.MOST + 5, "each task has its result"


# ---------------------------------------------------------------------------------------------------- S10: how it is built
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflows_pin_actions_and_have_no_rights(path: Path) -> None:
    text = path.read_text()
    uses = re.findall(r"uses:\s*(\S+)", text)
    assert uses
    assert all(re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action) for action in uses), uses
    assert "\npermissions: {}\n" in text
    assert "pull_request_target" not in text
    assert "workflow_run" not in text
    assert not re.findall(r"(?<!id-token):\s*write\b", text), "no job has the right to write"
    jobs = re.split(r"^  (?=\w+:$)", text.split("\njobs:\n")[1], flags=re.M)
    for job in (job for job in jobs if "id-token" in job):  # who may say that he is us runs nothing but the upload
        assert "run:" not in job
        assert "checkout" not in job
        assert re.findall(r"uses:\s*([\w./-]+)@", job) == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]
        assert {"attestations: true", "if: github.ref_type == 'tag'", "needs: [wheels, sdist, audit]"} <= set(
            map(str.strip, job.splitlines())
        )
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")
    assert not re.search(r"\$\{\{\s*(github\.event|github\.head_ref|inputs)", text), "no text of strangers in a script"
    assert "secrets." not in text


RELEASE = {"cython", "scikit-build-core", "cython-cmake", "build", "auditwheel", "cmake", "ninja"}


@pytest.mark.parametrize(("file", "tools"), [("release.txt", RELEASE), ("audit.txt", {"pip-audit"})])
def test_the_release_tools_are_locked_by_hash(file: str, tools: set[str]) -> None:
    lock = (ROOT / ".github" / file).read_text()
    names = re.findall(r"^([a-z0-9][\w.-]*)==.* \\$", lock, re.M)
    assert tools <= set(names)
    blocks = re.split(r"^(?=[a-z0-9][\w.-]*==)", lock, flags=re.M)[1:]
    assert len(blocks) == len(names)
    assert all("--hash=sha256:" in block for block in blocks)
    wheels = (ROOT / ".github" / "workflows" / "wheels.yml").read_text()
    assert f"--require-hashes -r .github/{file}" in wheels
    assert "pip install build" not in wheels


def test_the_bill_of_materials_names_what_builds_and_what_is_needed() -> None:
    """With the versions and hashes of the lock, twice the same bytes, and every component once."""
    script = ROOT / ".github" / "sbom.py"
    first, second = (subprocess.run([sys.executable, str(script)], capture_output=True, check=True).stdout for _ in range(2))
    assert first == second
    bill = json.loads(first)
    assert (bill["bomFormat"], bill["specVersion"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "1.6", "pyrt-trading")
    lock = (ROOT / ".github" / "release.txt").read_text()
    tools = {c["name"]: c for c in bill["components"] if c["scope"] == "excluded"}
    assert {(name, c["version"]) for name, c in tools.items()} == set(re.findall(r"^([a-z0-9][\w.-]*)==([^ ;]+)", lock, re.M))
    assert {one["content"] for c in tools.values() for one in c["hashes"]} == set(re.findall(r"sha256:([0-9a-f]{64})", lock))
    assert all(c["hashes"] for c in tools.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {c["name"] for c in bill["components"] if c["scope"] == "required"}
    assert required == {re.split(r"[^\w.-]", text)[0] for text in project["dependencies"]}
    refs = [c["bom-ref"] for c in bill["components"]]
    assert len(set(refs)) == len(refs)
    assert set(bill["dependencies"][0]["dependsOn"]) == {f"needs/{name}" for name in required}


MODULES = sorted(Path(pyrt.__file__).parent.glob("_core/*.so"))


def readelf(*arguments: str) -> str:
    return subprocess.run(["readelf", "-W", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("readelf") is None, reason="reads ELF files with readelf")
def test_the_compiled_modules_are_hardened() -> None:
    if not MODULES:
        pytest.skip("no compiled modules beside the package")
    guarded = fortified = 0
    for module in MODULES:
        headers, dynamic, symbols = readelf("-l", str(module)), readelf("-d", str(module)), readelf("--dyn-syms", str(module))
        assert "GNU_RELRO" in headers, module
        assert re.search(r"\bNOW\b", dynamic), module
        assert re.search(r"GNU_STACK.*\bRW\s", headers), f"{module}: an executable stack"
        assert "RPATH" not in dynamic, module
        assert "RUNPATH" not in dynamic, module
        guarded += "__stack_chk_fail" in symbols
        fortified += bool(re.search(r"__\w+_chk@", symbols))
    assert guarded == len(MODULES)
    assert fortified, "no call of any module is fortified: _FORTIFY_SOURCE has no effect"


def test_the_build_asks_for_it() -> None:
    text = (SRC / "_core" / "CMakeLists.txt").read_text() if (SRC / "_core" / "CMakeLists.txt").exists() else ""
    if not text:
        pytest.skip("no sources here")
    for flag in ("-fstack-protector-strong", "_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now"):
        assert flag in text


@pytest.mark.nightly
def test_the_wheel_is_reproducible_and_names_no_place() -> None:
    """Two builds; minutes. `make reproducible` does the same."""
    done = subprocess.run([sys.executable, "tests/security/reproducible.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_of_the_repository_holds_a_secret() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert not [str(path) for path in paths if path.is_file() and _SECRETS.search(path.read_bytes())]
    assert _SECRETS.search(b"key = PK" + b"A1B2C3D4E5F6G7H8I9")
