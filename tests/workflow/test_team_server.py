"""A server for teams: MLflow on PostgreSQL, proxied artifacts, many jobs, names and passwords."""

import json
import os
import re
import subprocess
import sys
from urllib.parse import quote

import psutil
import pytest
import requests
import team_server
from tiny_workflow import CHECKOUT, CONFIG, Workflow

JOBS = 8
EPOCHS = 20
ADMIN = ("admin", "a password of the administrator")
MEMBER = ("member", "a password with @ and : and /")
MISSING = [
    why
    for why, missing in {
        "PostgreSQL is not installed": team_server.postgresql_programs() is None,
        "psycopg2 is not installed": not team_server.installed("psycopg2"),
        "Flask-WTF (mlflow[auth]) is not installed": not team_server.installed("flask_wtf"),
    }.items()
    if missing
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))

STAGE = """
import pathlib, sys
from types import SimpleNamespace as Values
from gallerist.workflow.stage import stage
number, dataset = sys.argv[1:]
job = Values(
    rule="train_network", threads=1, input=[], resources=Values(),
    output=Values(record=f"results/{dataset}/{number}.record.json"),
    params=Values(epochs=EPOCHS), wildcards=Values(experiment=f"e{number}"),
    log=[f"logs/{number}.log"], config={"dataset": {"name": dataset}},
)
print("ready", flush=True)
sys.stdin.readline()
with stage(job) as run:
    run.parameters(network={"layers": number})
    for epoch in range(1, EPOCHS + 1):
        run.curve_point(epoch, loss=int(number) + 1 / epoch)
    run.metrics(top_1=int(number) / 8)
    run.dataset("team gallery", "manifest.csv", "d" * 64, 600)
    picture = pathlib.Path(f"picture {number}.png")
    picture.write_bytes(bytes([int(number)]) * 300_000)
    run.artifact(picture, "pictures")
""".replace("EPOCHS", str(EPOCHS))

WORKFLOW = """
import sys
from gallerist.tracking.sync import WorkflowWriter
dataset, uri = sys.argv[1:]
tracking = {"uri": uri or None, "patience": 120}
writer = WorkflowWriter({"dataset": {"name": dataset}, "tracking": tracking}, "results")
sys.stdin.readline()
sys.exit(0 if writer.close() else 3)
"""


@pytest.fixture(scope="module")
def postgresql():
    """A PostgreSQL of this module's own."""
    with team_server.PostgreSQL() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def server(postgresql, tmp_path_factory):
    """An MLflow server on a database that was empty when it started."""
    folder = tmp_path_factory.mktemp("team") / "server"
    with team_server.mlflow_server(folder, postgresql.new_database()) as server:
        yield server


def environment_of_jobs(**variables):
    kept = {name: text for name, text in os.environ.items() if "MLFLOW_" not in name}
    return {**kept, "PYTHONPATH": str(CHECKOUT / "scripts"), **variables}


def warnings_of(folder, uri, numbers=range(JOBS), dataset="team", **variables):
    """Run jobs, all at work from the same moment, and the writer of their workflow beside them.

    Returns whether MLflow has it all, and what the writer warned of. The jobs all end well.
    """
    folder.mkdir(exist_ok=True)

    def started(code, *words):
        return subprocess.Popen(
            [sys.executable, "-c", code, *words],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment_of_jobs(**variables),
        )

    writer = started(WORKFLOW, dataset, uri or "")
    stages = [started(STAGE, str(number), dataset) for number in numbers]
    for stage in stages:
        assert stage.stdout.readline() == "ready\n"
    for stage in stages:
        stage.stdin.write("go\n")
        stage.stdin.flush()
    for stage in stages:
        _, errors = stage.communicate(timeout=300)
        assert (stage.returncode, errors) == (0, "")
    _, warnings = writer.communicate("\n", timeout=300)
    assert writer.returncode in (0, 3)
    return writer.returncode == 0, warnings


def named(pairs):
    return {pair["key"]: pair["value"] for pair in pairs}


def check_run(server, folder, run, number, auth=None):
    """A run in the server's answers has everything that job `number` reported."""
    assert run["info"]["status"] == "FINISHED"
    assert named(run["data"]["params"]) == {"epochs": str(EPOCHS), "network.layers": str(number)}
    tags = named(run["data"]["tags"])
    assert (tags["current"], tags["gallerist.logged"]) == ("true", "finished")
    record = json.loads((folder / f"results/team/{number}.record.json").read_text("utf-8"))
    metrics = {"top_1": number / 8, "seconds": record["metrics"]["seconds"]}
    shown = named(run["data"]["metrics"])
    assert shown.pop("loss") == number + 1 / EPOCHS
    # A job that takes long enough on a busy machine has metrics of the system too.
    assert {name: shown[name] for name in shown if not name.startswith("system/")} == metrics
    history = server.api(
        "metrics/get-history", auth, run_id=run["info"]["run_id"], metric_key="loss"
    )["metrics"]
    points = sorted((point["step"], point["value"]) for point in history)
    assert points == [(epoch, number + 1 / epoch) for epoch in range(1, EPOCHS + 1)]
    assert [each["dataset"]["digest"] for each in run["inputs"]["dataset_inputs"]] == ["d" * 36]
    # The address says that whoever reads or writes a file must ask the server for it.
    assert run["info"]["artifact_uri"].startswith("mlflow-artifacts:/")
    files = server.artifacts(run, auth=auth)
    # The last where the checkout that is tested differs from its commit.
    assert files.keys() - {"code.diff"} == {
        f"pictures/picture {number}.png",
        f"log/{number}.log",
        "run.json",
    }
    assert files[f"pictures/picture {number}.png"] == bytes([number]) * 300_000
    assert json.loads(files["run.json"]) == record


def by_experiment(runs):
    """Runs by the experiment they show, which must be one each."""
    found = {named(run["data"]["tags"])["gallerist.experiment"]: run for run in runs}
    assert len(found) == len(runs)
    return found


@pytest.mark.slow
def test_eight_jobs_at_once_on_an_empty_server_log_everything_once(postgresql, server, tmp_path):
    folder, database = tmp_path / "work", server.database.rpartition("/")[2]
    (empty,) = postgresql.query("SELECT count(*) FROM runs", database)
    assert empty == ["0"]
    assert warnings_of(folder, server.url) == (True, "")
    runs = by_experiment(server.runs("team/stages"))
    assert runs.keys() == {f"e{number}" for number in range(JOBS)}
    for number in range(JOBS):
        check_run(server, folder, runs[f"e{number}"], number)
    # In PostgreSQL itself, also what the server would not show: nothing twice, nothing deleted.
    assert postgresql.query("SELECT name FROM experiments ORDER BY 1", database) == [
        ["Default"], ["team"], ["team/stages"],
    ]  # fmt: skip
    rows = postgresql.query("SELECT DISTINCT name, lifecycle_stage FROM runs ORDER BY 1", database)
    assert rows == [[f"train_network e{number}", "active"] for number in range(JOBS)]
    assert postgresql.query("SELECT count(*) FROM runs", database) == [[str(JOBS)]]
    assert postgresql.query("SELECT count(*) FROM datasets", database) == [["1"]]
    # The files went through the server to its folder, and nowhere else.
    assert len(list(server.folder.rglob("*.png"))) == JOBS
    assert not (folder / "results/mlflow").exists()


def test_a_request_for_another_host_is_refused(server):
    def answered(host):
        return requests.post(
            f"{server.url}/api/2.0/mlflow/experiments/search",
            json={"max_results": 1},
            headers={"Host": host},
            timeout=30,
        )

    assert answered(team_server.NAME).ok
    for host in ("evil.example.org", "localhost", f"{team_server.NAME}.evil.example.org"):
        refusal = answered(host)
        assert refusal.status_code == 403
        assert "Invalid Host header" in refusal.text
    port = server.url.rpartition(":")[2]
    family = [psutil.Process(server.pid)]
    family += family[0].children(recursive=True)
    listening = {
        connection.laddr
        for member in family
        for connection in member.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", int(port))}


def test_a_workflow_that_uses_another_name_is_warned_about_allowed_hosts(server, tmp_path):
    folder = tmp_path / "work"
    port = server.url.rpartition(":")[2]
    shown, warnings = warnings_of(folder, f"http://localhost:{port}", [3], "misnamed")
    assert not shown
    assert "--allowed-hosts" in warnings
    assert (folder / "results/misnamed/3.record.json").is_file()


def test_only_the_pages_of_the_server_itself_may_ask_it(server):
    def answered(origin):
        return requests.post(
            f"{server.url}/api/2.0/mlflow/experiments/search",
            json={"max_results": 1},
            headers={"Origin": origin},
            timeout=30,
        )

    assert answered(f"https://{team_server.NAME}").ok
    assert answered("https://evil.example.org").status_code == 403


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_workflow_shows_all_its_rows_on_the_server_and_on_an_empty_one(
    server, postgresql, tmp_path
):
    config = CONFIG | {"tracking": {"uri": server.url, "patience": 120}}
    workflow = Workflow(tmp_path / "gallerist", config)
    workflow.run("--cores", str(JOBS), "--resources", f"gpu={JOBS}")
    rows = by_experiment(server.runs("tiny"))
    assert rows.keys() == {"long", "short"}
    top_1 = {
        row["experiment"]: float(row["top-1"]) for row in workflow.rows("comparison/comparison.csv")
    }
    for name, row in rows.items():
        assert row["info"]["status"] == "FINISHED"
        assert named(row["data"]["metrics"])["top-1"] == pytest.approx(top_1[name], rel=1e-9)
        original = workflow.results / f"evaluation/{name}/worst.png"
        assert server.artifacts(row)["pictures/worst.png"] == original.read_bytes()
    records = list(workflow.results.rglob("*.record.json"))
    stages = server.runs("tiny/stages")
    assert {run["info"]["status"] for run in stages} == {"FINISHED"}
    assert len(rows) + len(stages) == len(records)
    assert not (workflow.folder / "results/mlflow").exists()
    # Nothing is left for the next start, which asks the server about every record.
    before = server.runs("tiny") + stages
    workflow.gallerist("summary")
    assert server.runs("tiny") + server.runs("tiny/stages") == before

    # The server is lost with everything on it.
    with team_server.mlflow_server(tmp_path / "new", postgresql.new_database()) as new:
        workflow.edit_config("tracking.uri", new.url)
        workflow.gallerist("summary")
        assert runs_on(new) == runs_on(server)
    assert workflow.dry_run() == set()


def runs_on(server):
    """Everything of the tiny workflow on a server, but for what a server chooses itself."""
    return {
        tags["gallerist.execution"]: (
            tags,
            named(run["data"].get("params", [])),  # left out where there are none
            named(run["data"].get("metrics", [])),
            [run["info"][name] for name in ("run_name", "status", "start_time", "end_time")],
            server.artifacts(run),
        )
        for experiment in ("tiny", "tiny/stages")
        for run in server.runs(experiment)
        for tags in [as_anywhere(named(run["data"]["tags"]), run["info"]["run_id"])]
    }


def as_anywhere(tags, run_id):
    """Tags without the run's id, by which a description addresses a picture."""
    return {name: text.replace(run_id, "its id") for name, text in tags.items()}


@pytest.fixture(scope="module")
def guarded_server(postgresql, tmp_path_factory):
    """A server with MLflow's own names and passwords, on the same database, and one member."""
    folder = tmp_path_factory.mktemp("guarded")
    database = postgresql.new_database()
    settings = re.sub(
        "^database_uri = .*",
        f"database_uri = {database}",
        team_server.documented("ini", "[mlflow]\ndatabase_uri"),
        flags=re.MULTILINE,
    )
    (folder / "auth.ini").write_text(settings, encoding="utf-8")
    environment = {
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "for the test",
    }
    with team_server.mlflow_server(
        folder / "server", database, settings=folder / "auth.ini", env=environment
    ) as server:
        member = {"username": MEMBER[0], "password": MEMBER[1]}
        address = f"{server.url}/api/2.0/mlflow/users/create"
        assert requests.post(address, json=member, timeout=60).status_code == 401
        requests.post(address, json=member, auth=ADMIN, timeout=60).raise_for_status()
        yield server


def signed_in(name, password):
    return {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}


@pytest.mark.slow
def test_eight_jobs_with_the_right_password_log_everything_once(guarded_server, tmp_path):
    folder = tmp_path / "work"
    assert warnings_of(folder, guarded_server.url, **signed_in(*MEMBER)) == (True, "")
    runs = by_experiment(guarded_server.runs("team/stages", MEMBER))
    assert runs.keys() == {f"e{number}" for number in range(JOBS)}
    for number in range(JOBS):
        check_run(guarded_server, folder, runs[f"e{number}"], number, MEMBER)


@pytest.mark.slow
@pytest.mark.parametrize("variables", [signed_in(MEMBER[0], "wrong-password"), {}])
def test_with_a_wrong_password_the_jobs_end_well_and_are_shown_later(
    guarded_server, tmp_path, variables
):
    dataset, folder = f"refused{len(variables)}", tmp_path / "work"
    variables = {"HOME": str(tmp_path), **variables}  # no ~/.mlflow/credentials
    shown, warnings = warnings_of(folder, guarded_server.url, [5], dataset, **variables)
    assert not shown
    (warning,) = warnings.splitlines()
    assert "MLFLOW_TRACKING_PASSWORD" in warning
    assert "the next start of the workflow logs it" in warning
    assert "wrong-password" not in warning
    record = (folder / f"results/{dataset}/5.record.json").read_text("utf-8")
    assert json.loads(record)["status"] == "finished"

    # As the start of the workflow does, by somebody who has written the password into the file.
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow/credentials").write_text(
        f"[mlflow]\nmlflow_tracking_username = {MEMBER[0]}\n"
        f"mlflow_tracking_password = {MEMBER[1]}\n",
        encoding="utf-8",
    )
    sync = (
        "from gallerist.tracking.store import Store\n"
        "from gallerist.tracking.sync import refresh\n"
        f"print(refresh(Store({guarded_server.url!r}, None), {dataset!r}, 'results/{dataset}'))"
    )
    said = subprocess.run(
        [sys.executable, "-c", sync],
        cwd=folder,
        env=environment_of_jobs(HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (said.stdout, said.stderr) == ("1\n", "")
    (run,) = guarded_server.runs(f"{dataset}/stages", MEMBER)
    assert run["info"]["status"] == "FINISHED"
    files = guarded_server.artifacts(run, auth=MEMBER)
    assert files["pictures/picture 5.png"] == bytes([5]) * 300_000
    assert json.loads(files["run.json"]) == json.loads(record)


@pytest.mark.slow
def test_a_password_in_the_address_works_and_is_repeated_nowhere(guarded_server, tmp_path):
    name, password = MEMBER[0], quote(MEMBER[1], safe="")
    folder = tmp_path / "work"
    for dataset, secret in (("right", password), ("wrong", "mistyped")):
        address = guarded_server.url.replace("//", f"//{name}:{secret}@")
        variables = {"MLFLOW_TRACKING_URI": address, "HOME": str(tmp_path)}
        _, warnings = warnings_of(folder, None, [6], dataset, **variables)
        assert quote(secret) not in warnings
        assert MEMBER[1] not in warnings
    assert (folder / "results/right/6.record.json").is_file()
    (run,) = guarded_server.runs("right/stages", MEMBER)
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    shown = [json.dumps(run).encode(), *guarded_server.artifacts(run, auth=MEMBER).values()]
    assert len(written) >= 5
    for content in [*written, *shown, guarded_server.log.read_bytes()]:
        for secret in (password, MEMBER[1], "mistyped"):
            assert secret.encode() not in content
