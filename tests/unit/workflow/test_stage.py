"""A stage: its log, its record, its end by error, signal or crash; Snakemake around it."""

import ast
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from checkout import SCRIPTS
from tracked import Runs, environment, refreshed, store_in, wait_for

from gallerist.io.files import canonical_json
from gallerist.records.history import History
from gallerist.records.record import Artifact, ImageSet, read_record
from gallerist.workflow.stage import stage

PREAMBLE = """
import os, sys, time, logging, warnings, json
from types import SimpleNamespace as Values
from gallerist.workflow.stage import stage
logger = logging.getLogger("gallerist")
job = Values(
    rule="train_network", threads=2, input=[], output=Values(record="out/model.record.json"),
    params=Values(epochs=3), wildcards=Values(experiment="scratch"), log=["logs/train.log"],
    resources=Values(), config={"dataset": {"name": "monkeys"}, "tracking": None},
)
job.config["tracking"] = json.loads(sys.argv[1]) if len(sys.argv) > 1 else None
with stage(job) as run:
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working directory, with nothing of the shell's own MLflow or of this checkout's changes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(SCRIPTS))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def started(body, tracking=None):
    """A script with this body of a stage, running in the working directory."""
    Path("script.py").write_text(PREAMBLE + textwrap.indent(textwrap.dedent(body), "    "))
    return subprocess.Popen(
        [sys.executable, "script.py", json.dumps(tracking)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(),
    )


def ended(body, tracking=None):
    """Exit status, standard output, standard error and log of a script with this body."""
    process = started(body, tracking)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors, Path("logs/train.log").read_text()


# --- the log


def test_all_output_goes_to_the_log_and_nothing_to_the_terminal(work):
    status, output, errors, log = ended("""
        print("printed")
        os.write(1, b"written below Python\\n")
        os.system("echo by a child; echo wrongly by a child >&2")
        sys.stderr.write("standard error\\n")
        logger.info("logged")
        warnings.warn("warned")
        logging.getLogger("somebody.else").info("chatter")
    """)
    assert (status, output, errors) == (0, "", "")
    said = ["printed", "written below Python", "by a child", "wrongly by a child", "standard error"]
    lines = log.splitlines()
    assert [line for line in lines if line in said] == said
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO logged$", log, re.MULTILINE)
    assert "WARNING" in log
    assert "warned" in log
    assert "chatter" not in log
    assert re.search(r"INFO finished in \d+\.\d s", lines[-1])


def test_the_log_can_be_followed_while_the_stage_is_at_work(work):
    process = started("print('epoch 1'); time.sleep(60)")
    log = Path("logs/train.log")
    wait_for(lambda: log.exists() and "epoch 1" in log.read_text())
    process.kill()
    process.communicate()


def test_a_crash_inside_a_library_leaves_the_way_there_in_the_log(work):
    status, _, _, log = ended("""
        def call_into_a_library():
            import ctypes
            ctypes.string_at(0)
        call_into_a_library()
    """)
    assert status == -signal.SIGSEGV
    assert "call_into_a_library" in log


def test_the_streams_are_the_callers_again_afterwards(work, capfd):
    job = a_job()
    with stage(job):
        print("inside")
    print("outside")
    os.write(2, b"outside too\n")
    output, errors = capfd.readouterr()
    assert (output, errors) == ("outside\n", "outside too\n")
    assert "inside" in Path("logs/x.log").read_text()
    assert "outside" not in Path("logs/x.log").read_text()


# --- the record


def a_job(**changes):
    job = {
        "rule": "search_gallery",
        "threads": 1,
        "input": [],
        "output": SimpleNamespace(record="out/x.record.json"),
        "params": SimpleNamespace(),
        "wildcards": SimpleNamespace(),
        "log": ["logs/x.log"],
        "resources": SimpleNamespace(),
        "config": {"dataset": {"name": "monkeys"}},
    }
    return SimpleNamespace(**job | changes)


def test_rules_that_differ_in_their_parts_or_shards_are_one_stage(work):
    for suffix, wildcards in (("__validation", {}), ("__shard", {"shard": "2"})):
        job = a_job(
            rule=f"describe_images{suffix}",
            wildcards=SimpleNamespace(experiment="hog", **wildcards),
            params=SimpleNamespace(bins=4),
        )
        with stage(job):
            pass
        record = read_record("out/x.record.json")
        assert record.subject == ("monkeys", "describe_images", "hog", wildcards.get("shard"), None)
        assert record.title == " ".join(["describe_images hog", *wildcards.values()])
        assert record.parameters == {"bins": 4}


def test_the_record_says_what_the_stage_was_given_measured_and_ran_on(work):
    (work / "manifest.csv").write_bytes(b"abc")
    (work / "images").mkdir()
    (work / "picture.png").write_bytes(b"png")
    job = a_job(
        rule="extract_features",
        threads=4,
        input=["manifest.csv", "images"],
        wildcards=SimpleNamespace(dataset="monkeys", experiment="resnet", part="query"),
        params=SimpleNamespace(
            batch_size=16,
            settings=canonical_json({"backbone": "ResNet50", "head": {"dropout": 0.5}}),
            augmentation=canonical_json({"copies": 5}),
            k=[1, 5],
            note="{not json",
            code="extract_features 0123456789abcdef",
        ),
    )
    with stage(job) as run:
        run.parameters(seed=99, schedule={"factor": 0.5})
        run.metrics(images=600)
        run.metrics({"recall@5": 0.5}, images=601)
        run.curve_point(2, loss=1.5)
        run.curve_point(1, {"loss": 2})
        run.artifact("picture.png", "pictures")
        run.artifact("never made.png")
        run.dataset("monkeys query", "manifest.csv", "d" * 64, 600)
        run.tag(weights="imagenet")
    record = read_record("out/x.record.json")
    assert record.subject == ("monkeys", "extract_features", "resnet", None, "query")
    assert record.mlflow_experiment == "monkeys/stages"
    assert (record.title, record.status) == ("extract_features resnet query", "finished")
    assert record.parameters == {
        "batch_size": 16, "backbone": "ResNet50", "head.dropout": 0.5, "augmentation.copies": 5,
        "k": "[1, 5]", "note": "{not json", "seed": 99, "schedule.factor": 0.5,
    }  # fmt: skip
    assert record.metrics == {"images": 601.0, "recall@5": 0.5, "seconds": record.seconds}
    assert record.curves == {"loss": [(1, 2.0), (2, 1.5)]}
    assert record.artifacts == (Artifact("picture.png", "pictures"), Artifact("logs/x.log", "log"))
    assert record.inputs == {"manifest.csv": hashlib.sha256(b"abc").hexdigest()}
    assert record.datasets == (ImageSet("monkeys query", "d" * 64, 600, "manifest.csv"),)
    code = {"code": "extract_features 0123456789abcdef"}
    assert record.tags == {"threads": "4", **code, "weights": "imagenet"}
    assert (record.pid, record.host) == (os.getpid(), socket.gethostname())
    assert record.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert len(record.execution) == 32


def test_every_execution_has_an_identity_of_its_own(work):
    executions = set()
    for _ in range(2):
        with stage(a_job()):
            pass
        executions.add(read_record("out/x.record.json").execution)
    assert len(executions) == 2


def test_snakemakes_own_objects_are_understood(work):
    from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, Wildcards

    (work / "a.txt").write_bytes(b"abc")
    job = a_job(
        input=InputFiles(fromdict={"manifest": "a.txt"}),
        output=OutputFiles(fromdict={"vectors": "out/v.npy", "record": "out/q.record.json"}),
        params=Params(fromdict={"batch_size": 16, "settings": '{"head":"standard"}'}),
        wildcards=Wildcards(fromdict={"dataset": "monkeys", "experiment": "resnet"}),
        log=Log(toclone=["logs/x.log"]),
    )
    with stage(job):
        pass
    record = read_record("out/q.record.json")
    assert record.parameters == {"batch_size": 16, "head": "standard"}
    assert (record.experiment, record.part) == ("resnet", None)
    assert list(record.inputs) == ["a.txt"]


def test_no_stage_loads_pandas(work):
    """Which scikit-learn and pyarrow look for, and nobody else needs."""
    with stage(a_job()), pytest.raises(ModuleNotFoundError):
        importlib.import_module("pandas")


def test_a_row_of_the_comparison_is_a_record_of_its_own(work):
    with stage(a_job(wildcards=SimpleNamespace(experiment="resnet"))) as run:
        run.dataset("monkeys gallery", "manifest.csv", "d" * 64, 600)
        run.metrics(top_1=0.25)
        run.compare(
            "out/comparison.record.json",
            "resnet",
            parameters={"train_network": {"epochs": 3}, "k": 10},
            metrics={"top_1": 0.25},
            curves={"val_loss": [(1, 2.0)]},
            artifacts=[("picture.png", "pictures")],
        )
        assert not Path("out/comparison.record.json").exists()
    row, own = read_record("out/comparison.record.json"), read_record("out/x.record.json")
    assert row.mlflow_experiment == "monkeys"
    assert (row.title, row.stage, row.experiment) == ("resnet", "experiment", "resnet")
    assert row.parameters == {"train_network.epochs": 3, "k": 10}
    assert row.metrics == {"top_1": 0.25}
    assert row.curves == {"val_loss": [(1, 2.0)]}
    assert row.datasets == own.datasets
    assert row.execution != own.execution
    assert row.tags["gallerist.evaluated_by"] == own.execution


def test_a_rule_without_a_record_or_a_log_is_a_stage_too(work):
    with stage(a_job(output=SimpleNamespace(), log=[])) as run:
        run.metrics(images=1)
    (entry,) = History("results/monkeys").entries()
    assert entry.record.metrics["images"] == 1.0
    assert list(work.iterdir()) == [work / "results"]


# --- the end by error


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "from gallerist.records.record import read_record; open('x.json', 'w').write('{}'); "
            "read_record('x.json')",
            "x.json: this is not a record",
        ),
        (
            "from gallerist.data.manifest import Manifest; open('x.csv', 'w').write('a,b'); "
            "Manifest.read('x.csv')",
            "x.csv: the columns of a manifest are id, path",
        ),
        ("open('absent.csv')", "FileNotFoundError: [Errno 2] No such file or directory: 'absent"),
        ("raise ValueError('from the script')", "ValueError: from the script"),
        ("sys.exit('enough')", "the script called exit('enough')"),
    ],
)
def test_an_error_is_one_message_for_people_and_a_traceback_in_the_log(work, body, message):
    status, output, errors, log = ended(body)
    assert (status, output) == (1, "")
    assert errors.startswith(f"train_network scratch failed: {message}")
    assert errors.endswith("\n  All of it: logs/train.log\n")
    assert len(errors.splitlines()) == 2
    assert "Traceback (most recent call last)" in log
    assert not Path("out").exists()


def test_a_configuration_that_lacks_the_data_set_is_an_error_too(work):
    with pytest.raises(SystemExit) as exit_, stage(a_job(config={})):
        raise AssertionError("the body must not run")
    assert exit_.value.code == 1


def test_a_record_that_cannot_be_written_fails_the_stage(work):
    Path("out").write_text("a file where the folder should be")
    with pytest.raises(SystemExit), stage(a_job()):
        pass
    assert "FileExistsError" in Path("logs/x.log").read_text()


# --- the end by signal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_stage_in_words(work, number):
    process = started("""
        print("at work")
        while True:
            try:
                time.sleep(60)
            except Exception:
                pass  # a library that swallows all errors must not swallow this
    """)
    at_work()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"failed: stopped by {number.name}" in errors
    assert not Path("out").exists()


LOADED = """
    import atexit
    class Loaded:
        def __del__(self):
            os.write(2, b"taken down. ")
    loaded = Loaded()
    atexit.register(os.write, 2, b"at exit. ")
"""


@pytest.mark.parametrize(
    ("name", "body", "status", "said"),
    [
        ("snakemake", "", 0, "at exit. "),
        ("snakemake", "raise RuntimeError", 1, "at exit. taken down. "),
        ("job", "", 0, "at exit. taken down. "),
    ],
    ids=["done", "failed", "within another process"],
)
def test_only_the_process_of_a_job_that_is_done_ends_at_once(work, name, body, status, said):
    program = PREAMBLE.replace("job", name) + LOADED + f"    {body}\n"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert (ended.returncode, ended.stderr[-len(said) :]) == (status, said)
    assert ended.stderr.count("taken down") == said.count("taken down")
    assert Path("out/model.record.json").exists() == (status == 0)


def test_nothing_comes_after_the_stage_of_a_script():
    """What did would be lost, and so would its errors."""
    scripts = sorted(SCRIPTS.glob("*.py"))
    assert len(scripts) > 30
    for script in scripts:
        last = ast.parse(script.read_text(encoding="utf-8")).body[-1]
        assert isinstance(last, ast.With), script
        assert ast.unparse(last.items[0]) == "stage(snakemake) as run", script


def at_work():
    log = Path("logs/train.log")
    wait_for(lambda: log.exists() and "at work" in log.read_text())


def test_a_forked_worker_ends_by_a_signal_as_it_would_without_us(work):
    status, _, errors, log = ended("""
        import signal
        worker = os.fork()
        if worker == 0:
            time.sleep(60)
        time.sleep(0.2)
        os.kill(worker, signal.SIGTERM)
        _, how = os.waitpid(worker, 0)
        print("ended by", os.WTERMSIG(how))
    """)
    assert (status, errors) == (0, "")
    assert f"ended by {int(signal.SIGTERM)}" in log
    assert log.count("finished in") == 1


# --- MLflow, shown what the stage has left


def synced():
    """The runs of the jobs, when MLflow is up to date with the files."""
    refreshed(store_in("results"), "monkeys", "results/monkeys")
    return Runs("results").of("monkeys/stages")


def test_a_finished_stage_is_a_run_and_a_failed_one_is_too(work):
    assert ended("run.curve_point(1, loss=2.0)")[0] == 0
    (run,) = synced()
    record = read_record("out/model.record.json")
    assert run["tags"]["gallerist.execution"] == record.execution
    assert (run["status"], run["tags"]["current"]) == ("FINISHED", "true")
    assert run["parameters"] == {"epochs": "3"}
    assert run["shown"] == {"loss": 2.0, "seconds": record.seconds}
    assert run["artifacts"] == ["log/train.log", "run.json"]

    body = "run.metrics(images=5); open('absent.csv')"
    assert ended(body)[0] == 1
    _, failed = synced()
    assert (failed["status"], failed["tags"]["current"]) == ("FAILED", "false")
    assert "No such file or directory: 'absent.csv'" in failed["tags"]["mlflow.note.content"]
    assert failed["shown"]["images"] == 5.0
    assert failed["artifacts"] == ["log/train.log", "run.json"]
    assert read_record("out/model.record.json") == record


def test_a_stage_stopped_by_a_signal_is_a_failed_run(work):
    process = started("print('at work'); time.sleep(600)")
    at_work()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    (run,) = synced()
    assert run["status"] == "FAILED"
    assert run["tags"]["mlflow.note.content"] == "Failed: stopped by SIGTERM"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "mlruns"])
def test_an_mlflow_that_is_not_there_or_cannot_be_used_costs_a_stage_nothing(work, uri):
    status, _, errors, log = ended("print('done')", {"uri": uri, "patience": 60})
    assert (status, errors) == (0, "")
    assert "MLflow" not in log
    assert read_record("out/model.record.json").status == "finished"


# --- with Snakemake around it

SNAKEFILE = """
configfile: "config.json"
rule all:
    input: expand("results/monkeys/{experiment}.npy", experiment=["good", "bad"])
rule extract_features:
    output:
        vectors="results/monkeys/{experiment}.npy",
        record="results/monkeys/{experiment}.record.json",
    params:
        depth=lambda wildcards: 50,
    log: "logs/{experiment}.log"
    script: "extract.py"
"""

SCRIPT = """
from gallerist.workflow.stage import stage
with stage(snakemake) as run:
    print("at work")
    open(snakemake.output.vectors, "w").write("1")
    run.metrics(images=3)
    if snakemake.wildcards.experiment == "bad":
        from gallerist.data.manifest import Manifest
        Manifest.read("Snakefile")
"""


@pytest.mark.skipif(shutil.which("snakemake", path=str(Path(sys.executable).parent)) is None,
                    reason="snakemake is not installed")  # fmt: skip
def test_snakemake_shows_the_message_and_both_runs_are_reported(work):
    (work / "Snakefile").write_text(SNAKEFILE)
    (work / "extract.py").write_text(SCRIPT)
    config = {"dataset": {"name": "monkeys"}, "tracking": {"uri": None, "patience": 60}}
    (work / "config.json").write_text(json.dumps(config))
    answer = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--keep-going", "--quiet", "progress"],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment(),
    )
    assert answer.returncode == 1
    expected = "extract_features bad failed: Snakefile: the columns of a manifest are"
    assert expected in answer.stderr
    assert "at work" not in answer.stdout + answer.stderr
    produced = sorted(path.name for path in (work / "results" / "monkeys").iterdir())
    assert produced == [".begun", "good.npy", "good.record.json", "history", "origin"]
    kept = {entry.record.title: entry.record for entry in History("results/monkeys").entries()}
    assert {title: record.status for title, record in kept.items()} == {
        "extract_features good": "finished",
        "extract_features bad": "failed",
    }
    assert read_record("results/monkeys/good.record.json").parameters == {"depth": 50}
    runs = {run["name"]: run["status"] for run in synced()}
    assert runs == {"extract_features good": "FINISHED", "extract_features bad": "FAILED"}
