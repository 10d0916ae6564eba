"""A real MLflow server on this machine, what can befall it, and what it shows.

with TrackingServer(folder) as server:
    server.kill()
    server.start()
"""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import requests
from tiny_workflow import wait_for


class TrackingServer:
    """`mlflow server` on SQLite, with its own artifacts, and a proxy in front of it.

    uri: of the server itself; it stays the same over restarts.
    proxy_uri: of the proxy, which passes everything on until `conduct` says otherwise.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._processes = []

    def __enter__(self):
        self.conduct("passing")
        self._proxy = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("faulty_proxy.py"), str(self.port), "."],
            cwd=self.folder,
        )
        try:
            self.start()
            wait_for(lambda: (self.folder / "port").exists())
        except BaseException:
            self.__exit__()
            raise
        self.proxy_uri = f"http://127.0.0.1:{(self.folder / 'port').read_text()}"
        return self

    def __exit__(self, *exception):
        self.kill()
        self._proxy.kill()
        self._proxy.wait()

    def start(self):
        """Start the server; return when it answers."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server"),
                    *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
                    *("--backend-store-uri", f"sqlite:///{self.folder}/server.db"),
                    *("--artifacts-destination", str(self.folder / "artifacts")),
                    "--serve-artifacts",
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **os.environ,
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
            )
        self._processes = [process]
        wait_for(self.answers)
        main = psutil.Process(process.pid)
        self._processes = [*main.children(recursive=True), process]

    def answers(self):
        try:
            return requests.get(f"{self.uri}/health", timeout=2).ok
        except requests.RequestException:
            return False

    def kill(self):
        self._signal(signal.SIGKILL)
        for process in self._processes:
            process.wait()
        self._processes = []

    def hang(self):
        """Connections are accepted by the system; nobody reads what comes."""
        self._signal(signal.SIGSTOP)

    def resume(self):
        self._signal(signal.SIGCONT)

    def fill_disk(self):
        """From now on the system refuses every write of the server to a file."""
        self._limit_files(0)

    def clear_disk(self):
        self._limit_files(None)

    def lose_database(self):
        """Restart on nothing: as after a lost disk, or a container without a volume."""
        self.kill()
        for file in self.folder.glob("server.db*"):
            file.unlink()
        self.start()

    def conduct(self, words):
        """Tell the proxy how to behave from now on, as faulty_proxy.py says."""
        (self.folder / "held").unlink(missing_ok=True)
        (self.folder / "new_conduct").write_text(words, encoding="utf-8")
        (self.folder / "new_conduct").replace(self.folder / "conduct")

    def holds_a_request(self):
        """Whether the proxy has kept a request from the server."""
        return (self.folder / "held").exists()

    def runs(self, experiment, question=""):
        """Every run of an MLflow experiment that nobody deleted, with all that belongs to it.

        question: a filter, as MLflow writes it.
        """
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.uri)
        found = client.get_experiment_by_name(experiment)
        runs = (
            client.search_runs([found.experiment_id], question, max_results=1000) if found else []
        )
        return [self._run(client, run) for run in runs]

    def _run(self, client, run):
        return {
            "id": run.info.run_id,
            "name": run.info.run_name,
            "status": run.info.status,
            "tags": run.data.tags,
            "parameters": run.data.params,
            "metrics": run.data.metrics,
            "points": {
                name: sorted(
                    (point.step, point.value)
                    for point in client.get_metric_history(run.info.run_id, name)
                )
                for name in run.data.metrics
                if not name.startswith("system/")  # the machine's, other each time
            },
            "datasets": [each.dataset.name for each in run.inputs.dataset_inputs],
            "artifacts": _artifacts(client, run.info.run_id),
        }

    def _signal(self, number):
        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.send_signal(number)

    def _limit_files(self, size):
        for each in self._processes:
            process = psutil.Process(each.pid)
            _, hard = process.rlimit(resource.RLIMIT_FSIZE)
            process.rlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def _artifacts(client, run_id):
    """Every file of a run, as the server hands it out: path -> content."""
    with tempfile.TemporaryDirectory() as folder:
        if client.list_artifacts(run_id):
            client.download_artifacts(run_id, "", folder)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
