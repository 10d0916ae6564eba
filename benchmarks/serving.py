"""A registered model behind MLflow's own server: are its rankings the workflow's, and how quick."""

import base64
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

from benchmarks.tables import Cell, Table

CHECKOUT = Path(__file__).resolve().parents[1]
EXPERIMENT = "efficientnet_lite2"
QUERIES = 50
ANSWERS = 10
CLIENTS = (1, 4)

_STARTS_WITHIN = 300.0


@dataclass(frozen=True)
class Query:
    """A picture as a request has it, and what the workflow answered: ids and distances."""

    body: bytes
    ids: tuple[str, ...]
    distances: tuple[float, ...]


@dataclass(frozen=True)
class Asked:
    """What asking all queries took. seconds: of each request. wall: of all. equal: rankings."""

    seconds: tuple[float, ...]
    wall: float
    equal: int
    off: float


def measure(rounds: int, *, quick: bool = False) -> Table:
    """A row for each number of clients. quick: the tiny data set and a tiny network."""
    with tempfile.TemporaryDirectory(prefix="gallerist-benchmark-") as folder:
        workflow, experiment = finished(Path(folder) / "gallerist", quick=quick)
        workflow.run_command("register_models", timeout=3600)
        queries = _queries(workflow, experiment)[:QUERIES]
        asked: dict[int, list[Asked]] = {clients: [] for clients in CLIENTS}
        with _served(workflow) as (address, ready):
            _ask_all(address, queries, 1)  # what is only slow once
            for _ in range(rounds):
                for clients, found in asked.items():
                    found.append(_ask_all(address, queries, clients))
    return _table(asked, len(queries), ready, rounds, quick=quick)


def finished(folder: Path, *, quick: bool) -> tuple[Any, str]:
    """A finished run of one network, and the name of its experiment."""
    sys.path.append(str(CHECKOUT / "tests/helpers"))
    from tiny_workflow import Workflow

    if quick:
        workflow, experiment = Workflow(folder), "short"
        workflow.remove_config("experiments.long")
    else:
        config = yaml.safe_load((CHECKOUT / "config/config.yaml").read_text(encoding="utf-8"))
        experiment = EXPERIMENT
        config["experiments"] = {experiment: config["experiments"][experiment]}
        config["challenge"] = None
        config["evaluation"]["explanations"] = []
        workflow = Workflow(folder, config, counts=None)
    workflow.run_command("compare_experiments", timeout=3600)
    return workflow, experiment


def _queries(workflow: Any, experiment: str) -> list[Query]:
    ranked: dict[str, list[tuple[str, float]]] = {}
    with (workflow.results / f"rankings/{experiment}.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            ranked.setdefault(row["query_id"], []).append(
                (row["gallery_id"], float(row["distance"]))
            )
    found = []
    for row in workflow.rows("manifests/query.csv"):
        data = base64.b64encode((workflow.folder / row["path"]).read_bytes()).decode()
        asked = {"dataframe_records": [{"base64": data}], "params": {"answers": ANSWERS}}
        ids, distances = zip(*ranked[row["id"]][:ANSWERS], strict=True)
        found.append(Query(json.dumps(asked).encode(), ids, distances))
    return found


@contextmanager
def _served(workflow: Any) -> Iterator[tuple[tuple[str, int], float]]:
    """The address of `mlflow models serve`, and the seconds until it answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
    store = f"sqlite:///{workflow.folder / 'results/mlflow/mlflow.db'}"
    name = workflow.results.name
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["--host", host, "--port", str(port), "--model-uri", f"models:/{name}@champion"]
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=workflow.folder,
        env=workflow.environment(
            MLFLOW_TRACKING_URI=store, MLFLOW_DISABLE_TELEMETRY="true", PYTHONPATH=""
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not _answers(host, port):
            if process.poll() is not None or time.monotonic() - started > _STARTS_WITHIN:
                raise RuntimeError("the model server did not start")
            time.sleep(0.1)
        yield (host, port), time.monotonic() - started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(host: str, port: int) -> bool:
    connection = HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _ask_all(address: tuple[str, int], queries: Sequence[Query], clients: int) -> Asked:
    """Every query once, by so many clients side by side, each over one connection."""
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        shares = pool.map(lambda client: _ask(address, queries[client::clients]), range(clients))
        found = [each for share in shares for each in share]
    wall = time.perf_counter() - started
    equal = sum(right for _, right, _ in found)
    return Asked(tuple(each[0] for each in found), wall, equal, max(each[2] for each in found))


def _ask(address: tuple[str, int], queries: Sequence[Query]) -> list[tuple[float, bool, float]]:
    """Seconds of each request, whether its ranking is the workflow's, and by how much it is off."""
    connection = HTTPConnection(*address, timeout=60)
    found = []
    for query in queries:
        started = time.perf_counter()
        connection.request("POST", "/invocations", query.body, {"Content-Type": "application/json"})
        answered = json.loads(connection.getresponse().read())
        seconds = time.perf_counter() - started
        (answer,) = answered["predictions"]
        off = np.abs(np.subtract(answer["distances"], query.distances)).max()
        found.append((seconds, tuple(answer["ids"]) == query.ids, float(off)))
    connection.close()
    return found


def _table(
    asked: Mapping[int, Sequence[Asked]], queries: int, ready: float, rounds: int, *, quick: bool
) -> Table:
    rows = []
    for clients, found in asked.items():
        milliseconds = [1000 * each for one in found for each in one.seconds]
        row: dict[str, Cell] = {
            "clients": clients,
            "requests a second": median(queries / each.wall for each in found),
            "latency ms, median": median(milliseconds),
            "latency ms, 95 %": float(np.percentile(milliseconds, 95)),
            "equal rankings": f"{min(each.equal for each in found)} of {queries}",
        }
        rows.append(row)
    off = max(each.off for found in asked.values() for each in found)
    network = "a tiny network on the tiny data set" if quick else f"{EXPERIMENT} of the default run"
    return Table(
        "serving",
        "A registered model, served by MLflow",
        tuple(rows),
        (
            f"{network}: {queries} queries, one picture a request as base64, {ANSWERS} answers; "
            "server and clients on one machine",
            f"equal rankings: the same {ANSWERS} answers in the same order as in the workflow's "
            f"ranking; distances differ by at most {off:.0e}, which the file rounds to 9 digits",
            f"ready {ready:.0f} s after the start of `mlflow models serve`",
            f"{rounds} rounds" if rounds > 1 else "1 round",
        ),
        {"asked": {str(n): [vars(each) for each in found] for n, found in asked.items()}},
    )
