"""Models registered by a real run, and served by `gallerist serve`."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tiny_workflow import COMMANDS, wait_for


def test_models_are_registered_where_the_configuration_asks_for_it(workflow):
    assert "register_models" not in workflow.dry_run()
    assert workflow.dry_run("register_models") == {"register_models"}
    workflow.edit_config("registry.experiments", ["best"])
    assert workflow.dry_run() == {"register_models"}


def test_an_experiment_that_cannot_be_registered_is_named_before_any_job(workflow):
    workflow.edit_config("experiments.both", {"fusion": "ranks", "of": ["long", "short"]})
    workflow.edit_config("registry.experiments", ["long", "both", "lon"])
    refused = workflow.run("--dry-run", check=False)
    assert refused.returncode == 1
    assert "registry.experiments[1]: both joins the rankings of other experiments" in refused.stdout
    assert "registry.experiments[2]: no experiment is called lon. Did you mean long?" in (
        refused.stdout
    )


@contextlib.contextmanager
def served(workflow, model):
    """The address of `gallerist serve` for a model, until the block ends.

    Nothing of the environment is on the PATH, as in a shell where it is not activated.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = workflow.environment(MLFLOW_DISABLE_TELEMETRY="true", PATH=os.defpath)
    command = [COMMANDS / "gallerist", "serve", model, "--port", str(port)]
    said = workflow.folder / "served.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=workflow.folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: process.poll() is not None or answers(f"{address}/ping"))
        assert process.poll() is None, said.read_text(encoding="utf-8")[-3000:]
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(address):
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def asked(address, rows, answers):
    """What the server answers to rows of pictures."""
    request = urllib.request.Request(
        f"{address}/invocations",
        json.dumps({"dataframe_records": rows, "params": {"answers": answers}}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["predictions"]


@pytest.mark.slow
def test_a_served_network_ranks_as_the_workflow_for_every_query_in_every_form(workflow):
    workflow.edit_config("registry.experiments", ["long", "short"])
    assert workflow.rerun() == {"register_models"}
    registered = json.loads((workflow.results / "registry/registered.json").read_text("utf-8"))
    assert [each["experiment"] for each in registered] == ["long", "short"]
    assert registered[0]["champion"]
    again = workflow.gallerist("register", "long").stdout
    assert "long: registered already, tiny version 1" in again

    expected = {}
    for row in workflow.rows("rankings/long.csv"):
        expected.setdefault(row["query_id"], []).append((row["gallery_id"], float(row["distance"])))
    queries = workflow.rows("manifests/query.csv")
    contents = [(workflow.folder / row["path"]).read_bytes() for row in queries]
    encoded = [base64.b64encode(data).decode() for data in contents]
    with served(workflow, "models:/tiny/1") as address:
        together = asked(address, [{"base64": text} for text in encoded], 9)
        alone = [asked(address, [{"bytes": text}], 9)[0] for text in encoded]
        by_path = asked(address, [{"path": row["path"]} for row in queries], 9)
        for found in (together, alone, by_path):
            for query, answer in zip(queries, found, strict=True):
                ids, distances = zip(*expected[query["id"]], strict=True)
                assert answer["ids"] == list(ids)
                assert answer["distances"] == pytest.approx(distances, abs=1e-5)
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked(address, [{"path": "/etc/hostname"}], 9)
        assert refused.value.code == 400
        assert "outside the folder" in refused.value.read().decode()
    assert not Path(workflow.folder / "served.log").read_text("utf-8").count("Traceback")
