"""gallerist submit for an experiment: a real server, the records, and a real MLflow store."""

import hashlib
import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from checkout import LIBRARY
from grading_server import GRADE, Server
from mlflow import MlflowClient
from tracked import a_record, store_in

import gallerist.challenge.submit
from gallerist.challenge.submit import Receipt, send
from gallerist.commands.main import main
from gallerist.io.errors import UserError
from gallerist.io.files import write_json
from gallerist.records.provenance import code_state, host, versions
from gallerist.records.record import find_records, write_record
from gallerist.tracking.store import artifact_root_of, prepare, resolve_uri
from gallerist.tracking.sync import refresh

EXPERIMENTS = {
    "hog": {"descriptor": "hog"},
    "edges": {"descriptor": "edge_histogram"},
}
RESULTS = {name: f"results/mine/challenge/submissions/{name}/results.json" for name in EXPERIMENTS}


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A folder of results in which MLflow is set up, and nothing is logged."""
    folder = tmp_path_factory.mktemp("store") / "results"
    uri = resolve_uri(None, folder)
    prepare(uri, artifact_root_of(uri, folder), ["mine", "mine/stages"])
    return folder


@pytest.fixture
def work(tmp_path, server, monkeypatch):
    """What the workflow leaves of a challenge, as far as a submission needs it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("gallery/a.png", "gallery/b.png", "query/q.png"):
        path = tmp_path / "results/mine/challenge/source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for file in RESULTS.values():
        (tmp_path / file).parent.mkdir(parents=True)
        answer(tmp_path / file, "a.png", "b.png")
    record = a_record("mine", stage="write_submissions", experiment=None, curves={}, datasets=())
    write_record(tmp_path / "results/mine/challenge/submissions/results.record.json", record)
    configure(submit_to=server.url)
    return tmp_path


def answer(path, *answers):
    path.write_text(json.dumps({"groupname": "the group", "images": {"q.png": answers}}))


def configure(tracking=None, **challenge):
    config = {
        "dataset": {"name": "mine", "embedded": {}},
        "experiments": EXPERIMENTS,
        "challenge": {"embedded": {}, "k": 2, **challenge},
        "tracking": tracking or {},
    }
    Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def submit(*options, experiment="hog"):
    return main(["submit", "--experiment", experiment, "--configfile", "config.yaml", *options])


def deliver(server, experiment="hog", **options):
    """Send as without a configuration: with a record, without MLflow."""
    source = "results/mine/challenge/source"
    arguments = RESULTS[experiment], server.url, f"{source}/gallery", f"{source}/query", 2
    return send(*arguments, **{"timeout": 0.5, "attempts": 1, **options})


def sendings(folder="results"):
    """The records of submissions that a synchronisation finds, oldest first."""
    found = [record for record in find_records(folder) if record.stage == "submit"]
    return sorted(found, key=lambda record: record.finished)


# -- the configured address -------------------------------------------------------------------


def test_the_answers_of_an_experiment_go_to_the_configured_address(work, server, capsys):
    assert submit("--dry-run") == 0
    assert f"would be posted to {server.url}" in capsys.readouterr().out
    assert server.requests == sendings() == []
    assert not (work / "results/mlflow").exists()


@pytest.mark.parametrize(
    ("experiment", "challenge", "message"),
    [
        ("hob", {}, "no experiment is called hob; there are: hog, edges"),
        ("hog", {"submit_to": None}, "challenge.submit_to is null"),
        ("hog", {"submit_to": "ftp://x/y"}, "config.yaml: challenge.submit_to: found 'ftp://x/y'"),
        (
            "hog",
            {"submit_to": "http:///y"},
            "challenge.submit_to: found 'http:///y', expected null",
        ),
    ],
)
def test_what_is_not_configured_is_named_and_nothing_is_sent(
    work, server, capsys, experiment, challenge, message
):
    configure(**{"submit_to": server.url, **challenge})
    assert submit(experiment=experiment) == 1
    assert message in capsys.readouterr().err
    assert server.requests == []


def test_a_password_does_not_belong_into_the_configuration(work, capsys):
    configure(submit_to="https://ann:s3cret@server.example/submit")
    assert submit() == 1
    message = capsys.readouterr().err
    assert "config.yaml: challenge.submit_to: has a user or a password in it" in message
    assert "s3cret" not in message


def test_answers_that_were_not_written_yet_are_asked_for(work, capsys):
    (work / RESULTS["hog"]).unlink()
    assert submit() == 1
    assert "results.json is not there yet. Run the workflow first" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--experiment", "hog", RESULTS["hog"]],
        ["--experiment", "hog", "--k", "3"],
        [RESULTS["hog"], "--configfile", "config.yaml"],
        [RESULTS["hog"]],
        [],
    ],
)
def test_either_an_experiment_is_sent_or_a_file(work, server, capsys, arguments):
    Path("config").mkdir()
    shutil.copy("config.yaml", "config/config.yaml")
    assert main(["submit", *arguments]) == 1
    assert "RESULTS and URL" in capsys.readouterr().err
    assert server.requests == []


# -- the record -------------------------------------------------------------------------------


def test_a_grade_becomes_a_record_beside_the_receipt(work, server):
    receipt = deliver(server)
    (record,) = sendings()
    assert record.subject == ("mine", "submit", "hog", None, None)
    assert (record.status, record.error, record.destination) == ("finished", None, "stages")
    assert {name: value for name, value in record.metrics.items() if "server" in name} == {
        "server/top1": 0.5,
        "server/top10": 1.0,
    }
    assert record.metrics["http_status"] == 200
    assert record.parameters == {
        "url": server.url,
        "file": RESULTS["hog"],
        "sha256": receipt.key,
        "group": "the group",
    }
    assert record.tags == {"state": "answered", "answer": json.dumps(GRADE)}
    assert record.inputs == {RESULTS["hog"]: receipt.key}
    assert (record.versions, record.host, record.pid) == (versions(), host(), os.getpid())
    assert (record.git_commit, record.git_dirty) == code_state(LIBRARY)
    sent, kept = (work / artifact.path for artifact in record.artifacts)
    assert sent.read_bytes() == server.requests[0].body
    assert Receipt.read(kept) == receipt


def hangs(server):
    return lambda handler, request: (server.read(handler, request), server.closing.wait(30))


def drops(server):
    return lambda handler, request: (
        server.read(handler, request),
        server.hang_up(handler, request),
    )


FAILURES = {
    "refused": (lambda server: server.answer(400, body=b'{"error": 7}'), "refused", 400),
    "asks to wait": (lambda server: server.answer(503), "refused", 503),
    "fails": (lambda server: server.answer(500, body=b"\0 oh\x1b[31m"), "unknown", 500),
    "hangs": (hangs, "unknown", None),
    "drops": (drops, "unknown", None),
    "rubbish": (lambda server: server.answer(200, body=b"\0\xff<p>"), "unknown", 200),
    "half": (lambda server: server.answer(200, body=b'{"top1": 1}', cut=5), "unknown", 200),
    "no HTTP": (lambda server: server.raw(b"\x16\x03\x01\r\n\r\n"), "unknown", None),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_becomes_a_record_that_says_why(work, server, failure):
    misdeed, state, status = FAILURES[failure]
    server.misdeeds = [misdeed(server)]
    with pytest.raises(UserError) as raised:
        deliver(server)
    (record,) = sendings()
    assert (record.status, record.tags["state"]) == ("failed", state)
    assert record.metrics.get("http_status") == status
    assert set(record.metrics) <= {"http_status", "seconds"}
    assert record.error.replace("\N{REPLACEMENT CHARACTER}", "") in "".join(
        c for c in str(raised.value) if c.isprintable() or c in "\n\t"
    ).replace("\N{REPLACEMENT CHARACTER}", "")
    assert all(c.isprintable() or c in "\n\t" for c in record.error + record.tags["answer"])


def test_what_is_not_sent_again_has_no_second_record(work, server):
    deliver(server)
    (first,) = sendings()
    before = sorted(work.rglob("*"))
    assert json.loads(deliver(server).body) == GRADE
    assert sendings() == [first]
    assert sorted(work.rglob("*")) == before
    assert len(server.requests) == 1
    deliver(server, again=True)
    assert len(sendings()) == 2
    assert len({record.execution for record in sendings()}) == 2


def test_the_same_answers_of_two_experiments_are_two_records(work, server):
    deliver(server)
    deliver(server, "edges")
    assert [record.experiment for record in sendings()] == ["hog", "edges"]
    assert len({record.execution for record in sendings()}) == 2


def test_other_answers_do_not_change_what_was_recorded_as_sent(work, server):
    deliver(server)
    answer(work / RESULTS["hog"], "b.png", "a.png")
    deliver(server)
    bodies = [(work / record.artifacts[0].path).read_bytes() for record in sendings()]
    assert bodies == [request.body for request in server.requests]
    assert bodies[0] != bodies[1]


def test_an_answer_file_that_no_workflow_wrote_has_receipts_and_no_record(work, server):
    (work / "results/mine/challenge/submissions/results.record.json").unlink()
    assert deliver(server).state == "answered"
    assert sendings() == []
    assert len(list(work.rglob("receipts/*.json"))) == 1


def test_a_record_that_cannot_be_written_does_not_spoil_the_answer(
    work, server, monkeypatch, caplog
):
    def full(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr(gallerist.challenge.submit, "write_record", full)
    assert json.loads(deliver(server).body) == GRADE
    assert "the disk is full" in caplog.text


# -- MLflow -----------------------------------------------------------------------------------


@pytest.fixture
def runs(work, empty_store):
    """All runs of submissions in the store of this test, as MLflow's own client gives them."""
    shutil.copytree(empty_store, work / "results", dirs_exist_ok=True)
    store = store_in(work / "results")
    # The store was set up elsewhere, as one that was moved.
    with closing(sqlite3.connect(work / "results/mlflow/mlflow.db")) as connection, connection:
        old, new = empty_store.as_uri(), (work / "results").as_uri()
        connection.execute(
            "UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)",
            (old, new),
        )
    client = MlflowClient(tracking_uri=store.uri)

    def runs():
        found = client.get_experiment_by_name("mine/stages")
        listed = client.search_runs(
            [found.experiment_id], "tags.`gallerist.stage` = 'submit'", order_by=["start_time"]
        )
        return [(run, client) for run in listed]

    return runs


def test_a_grade_is_in_mlflow_at_once_and_only_once(work, server, runs, capsys):
    assert submit() == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == GRADE
    [(run, client)] = runs()
    assert (run.info.status, run.info.run_name) == ("FINISHED", "submit hog")
    assert run.data.metrics.items() >= {"server/top1": 0.5, "server/top10": 1.0}.items()
    assert run.data.params["url"] == server.url
    assert run.data.tags["gallerist.experiment"] == "hog"
    assert run.data.tags["current"] == "true"
    shown = {file.path: file for file in client.list_artifacts(run.info.run_id, "submission")}
    assert len(shown) == 2
    local = client.download_artifacts(run.info.run_id, next(p for p in shown if "sent" in p))
    assert Path(local).read_bytes() == server.requests[0].body
    assert submit() == 0
    assert refresh(store_in(work / "results"), "mine", work / "results/mine") == 0
    assert [run.info.run_id for run, _ in runs()] == [run.info.run_id]
    assert len(server.requests) == 1


def test_a_refusal_is_in_mlflow_and_a_later_grade_is_the_current_one(work, server, runs, capsys):
    server.misdeeds = [server.answer(400, body=b"no such group")]
    assert submit() == 1
    assert "no such group" in capsys.readouterr().err
    assert submit() == 0
    refused, graded = (run for run, _ in runs())
    assert (refused.info.status, graded.info.status) == ("FAILED", "FINISHED")
    assert "no such group" in refused.data.tags["mlflow.note.content"]
    assert (refused.data.tags["current"], graded.data.tags["current"]) == ("false", "true")


def test_without_mlflow_the_grade_stands_and_is_logged_later(work, server, runs, capsys, caplog):
    nowhere = f"sqlite:///{work}/config.yaml/mlflow.db"
    configure(tracking={"uri": nowhere, "patience": 10}, submit_to=server.url)
    assert submit() == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == GRADE
    assert "MLflow" in caplog.text
    assert runs() == []
    assert refresh(store_in(work / "results"), "mine", work / "results/mine") == 2
    [(run, _)] = runs()
    assert run.data.metrics["server/top1"] == 0.5


def test_numbers_below_each_other_become_metrics_and_others_do_not(work, server):
    answer = {"top": {"1": 0.5, "ok": True}, "\ud800": 1, "by": None, "n" * 999: 1, "list": [1]}
    server.misdeeds = [server.answer(200, body=json.dumps(answer).encode())]
    deliver(server)
    (record,) = sendings()
    numbers = {name: value for name, value in record.metrics.items() if "server" in name}
    assert numbers == {"server/top.1": 0.5, "server/\N{REPLACEMENT CHARACTER}": 1.0}


# -- secrets ----------------------------------------------------------------------------------


def test_no_secret_reaches_receipts_records_or_messages(work, server, monkeypatch, caplog):
    """Credentials of ~/.netrc, and a token in the query."""
    caplog.set_level("DEBUG", "gallerist")
    (work / ".netrc").write_text("machine 127.0.0.1 login ann password pass-w0rd\n")
    monkeypatch.setenv("NETRC", str(work / ".netrc"))
    server.misdeeds = [server.grade, server.answer(404)]
    server.url += "?token=t0k%2Fen-1"
    deliver(server)
    with pytest.raises(UserError) as failure:
        deliver(server, again=True)
    assert server.requests[0].path == "/submit?token=t0k%2Fen-1"
    assert "Authorization" in server.requests[0].headers
    files = [path for path in (work / "results").rglob("*") if path.is_file()]
    kept = "".join(path.read_text(encoding="utf-8") for path in files)
    everything = kept + caplog.text + str(failure.value)
    assert server.url.partition("?")[0] in everything
    for secret in ("pass-w0rd", "t0k%2Fen-1", "t0k/en-1", "YW5uOnBhc3MtdzByZA=="):
        assert secret not in everything


# -- receipts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "[]", "{}", '"x"', '{"more": 1}'])
def test_another_file_is_no_receipt(tmp_path, text):
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"r\.json is not the receipt"):
        Receipt.read(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("history", "position"),
    [
        (["not sent", "refused"], None),
        (["unknown", "refused"], 0),
        (["unknown", "sending"], 1),
        (["answered", "unknown", "not sent"], 0),
        (["answered", "answered"], 1),
        (["refused"] * 9 + ["answered", "unknown"], 9),
    ],
)
def test_the_receipt_that_matters_is_found(work, server, history, position):
    key = hashlib.sha256(Path(RESULTS["hog"]).read_bytes()).hexdigest()
    folder = Path(RESULTS["hog"]).parent / "receipts"
    for number, state in enumerate(history):
        receipt = Receipt(state, f"number {number}", "f", "u", key)
        write_json(folder / f"{key[:16]}-{number + 1}.json", asdict(receipt))
    message = deliver(server, dry_run=True).message
    if position is None:
        assert "would be posted" in message
    else:
        assert message == f"Dry run: nothing would be sent. number {position}"
