"""A server for teams as docs/team-server.md sets it up, in miniature: PostgreSQL and MLflow.

Both are real, are bound to 127.0.0.1, and are gone when the block ends.
"""

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import requests
from tiny_workflow import CHECKOUT, free_port

NAME = "mlflow.example.org"
"""The server's name in the document."""
SUPERUSER = "postgres"
"""Debian's user for PostgreSQL, which refuses to run as root."""


def postgresql_programs():
    """The folder of PostgreSQL's programs, the newest; None where there are none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    here = shutil.which("initdb")
    program = found[-1] if found else Path(here).resolve() if here else None
    return program.parent if program and (program.parent / "pg_ctl").exists() else None


def installed(module):
    """Whether a module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


class PostgreSQL:
    """A cluster in a folder of its own, with passwords (scram), on a free port of 127.0.0.1."""

    def __init__(self):
        self.programs = postgresql_programs()
        self.port = free_port()
        self.password = secrets.token_hex(8)
        # Not below pytest's folder: that is closed to the user that PostgreSQL runs as.
        self.folder = Path(tempfile.mkdtemp(prefix="gallerist-pg-"))

    def __enter__(self):
        try:
            secret = self.folder / "secret"
            secret.write_text(self.password, encoding="utf-8")
            if os.geteuid() == 0:
                for path in (self.folder, secret):
                    shutil.chown(path, SUPERUSER, SUPERUSER)
            self._call(
                *("initdb", "-D", self._data, "-U", SUPERUSER, "-A", "scram-sha-256"),
                *("--pwfile", secret, "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
            )
            self._call("pg_ctl", "-D", self._data, "-w", "-l", self.folder / "log",
                       "-o", f"-c listen_addresses=127.0.0.1 -p {self.port} -k '' -F",
                       "start")  # fmt: skip
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if (self.folder / "data/postmaster.pid").exists():
            self._call("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)

    @property
    def _data(self):
        return self.folder / "data"

    def _call(self, program, *arguments):
        command = [str(self.programs / program), *map(str, arguments)]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid", SUPERUSER, "--regid", SUPERUSER, "--clear-groups",
                       *command]  # fmt: skip
        done = subprocess.run(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}"

    def query(self, question, database=SUPERUSER):
        """Rows of an SQL question, through psql; without a database: of the cluster."""
        answer = subprocess.run(
            [self.programs / "psql", "-XAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", question],
            env={**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(self.port),
                 "PGUSER": SUPERUSER, "PGPASSWORD": self.password, "PGDATABASE": database},
            check=True,
            capture_output=True,
            text=True,
        )  # fmt: skip
        return [line.split("\t") for line in answer.stdout.splitlines()]

    def new_database(self):
        """An empty database with a role of its own: its address, with the password."""
        name, password = f"mlflow_{secrets.token_hex(4)}", secrets.token_hex(8)
        self.query(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        self.query(f"CREATE DATABASE {name} OWNER {name}")
        return f"postgresql://{name}:{password}@127.0.0.1:{self.port}/{name}"


@dataclass(frozen=True)
class Server:
    """An MLflow server at work. folder: of its artifacts, database: its PostgreSQL address."""

    url: str
    folder: Path
    database: str
    pid: int
    log: Path

    def api(self, call, auth=None, /, **question):
        """The answer of its REST API; a dictionary goes there as JSON, without MLflow's client."""
        address = f"{self.url}/api/2.0/mlflow/{call}"
        if call.endswith("search"):
            answer = requests.post(address, json=question, auth=auth, timeout=60)
        else:
            answer = requests.get(address, params=question, auth=auth, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def runs(self, experiment, auth=None):
        """Every active run of an MLflow experiment, as the API gives it."""
        found = self.api("experiments/get-by-name", auth, experiment_name=experiment)["experiment"]
        question = {"experiment_ids": [found["experiment_id"]], "max_results": 1000}
        return self.api("runs/search", auth, **question).get("runs", [])

    def artifacts(self, run, folder="", auth=None):
        """Paths of all artifacts of a run, downloaded: path -> content."""
        listed = self.api("artifacts/list", auth, run_id=run["info"]["run_id"], path=folder)
        found = {}
        for file in listed.get("files", []):
            if file.get("is_dir"):
                found |= self.artifacts(run, file["path"], auth)
            else:
                place = run["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
                found[file["path"]] = requests.get(
                    f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{place}/{file['path']}",
                    auth=auth,
                    timeout=60,
                ).content
        return found


def documented(language, beginning):
    """The block of code in docs/team-server.md that begins so, without its continued lines."""
    document = (CHECKOUT / "docs/team-server.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.+?)^```", document, re.MULTILINE | re.DOTALL)
    (block,) = (each for each in blocks if each.startswith(beginning))
    return block.replace("\\\n", " ")


def _server_options(**changed):
    """The options of the documented service, some with another value; None leaves one out."""
    (command,) = re.findall(
        r"^ExecStart=\S+/mlflow server (.+)$", documented("ini", "[Unit]"), re.M
    )
    options = dict(re.findall(r"--(\S+)(?: +([^-\s]\S*))?", command))
    assert options.keys() >= {name for name, value in changed.items() if value is not None}
    for name, value in (options | changed).items():
        if value is not None:
            yield from filter(None, (f"--{name}", value))


@contextlib.contextmanager
def mlflow_server(folder, database, *, settings=None, env=None):
    """`mlflow server` as the documented service starts it; without `settings`, open to everybody.

    settings: the file auth.ini of names and passwords.
    """
    folder = Path(folder)
    artifacts = folder / "artifacts"
    artifacts.mkdir(parents=True)
    port = free_port()
    changed = {
        "port": str(port),
        "workers": "2",
        "artifacts-destination": str(artifacts),
        "allowed-hosts": f"{NAME},127.0.0.1:{port}",
    }
    options = _server_options(**changed, **({} if settings else {"app-name": None}))
    kept = {name: text for name, text in os.environ.items() if "MLFLOW_" not in name}
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*(sys.executable, "-m", "mlflow", "server"), *options],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={
                **kept,
                "MLFLOW_BACKEND_STORE_URI": database,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                **({"MLFLOW_AUTH_CONFIG_PATH": str(settings)} if settings else {}),
                **(env or {}),
            },
        )
        server = Server(
            f"http://127.0.0.1:{port}", artifacts, database, process.pid, folder / "log"
        )
        try:
            _wait_until_it_answers(server, process)
            yield server
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_it_answers(server, process):
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{server.url}/health", timeout=5).ok:
                return
        time.sleep(0.1)
    raise AssertionError(f"no MLflow server: {server.log.read_text(encoding='utf-8')[-3000:]}")
