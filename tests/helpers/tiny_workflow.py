"""The real workflow on a data set so small that it runs in a minute, in a folder of its own.

    workflow = Workflow(folder)  # a copy of this checkout, with pictures and a configuration
    workflow.run()  # snakemake, to the end
    workflow.edit_config("evaluation.k", [1, 2])
    assert workflow.dry_run() == {"evaluate_retrieval long", ..., "compare_experiments"}

A job is named by its rule and its wildcards: "split_images", "extract_features long gallery".
"""

import contextlib
import csv
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

CHECKOUT = Path(__file__).resolve().parents[2]
PARTS_OF_CHECKOUT = (
    *("Snakefile", "rules", "scripts", "config", "profiles", "report", "envs"),
    *("pyproject.toml", "README.md", "Makefile"),
)
NO_SOURCE = ("__pycache__", "*.egg-info", "*.pyc", ".*")
COMMANDS = Path(sys.executable).parent
"""Where snakemake and gallerist are: beside the Python that runs the tests."""

CLASSES = ("discs", "stripes", "chequers")
TREE = {"training": 6, "validation/gallery": 3, "validation/query": 2}
"""Pictures a class in each folder of the tiny data set."""

EXPERIMENT = {
    "network": "scratch",
    "image_size": 32,
    "padding": "same",
    "head": "standard",
    "l1": 1.0e-5,
    "l2": 1.0e-4,
    "batch_size": 8,
}
TRANSFER = {
    "network": "transfer",
    "backbone": "MobileNetV2",
    "weights": "random",
    "freeze_until": "block_16",
    "pooling": "avg",
    "image_size": 32,
    "head": "standard",
    "l1": 0,
    "l2": 0,
    "batch_size": 8,
    "learning_rate": 1.0e-3,
    "epochs": 2,
}
"""A network whose frozen layers are computed once."""

CONFIG = {
    "dataset": {"name": "tiny", "folder": "pictures", "split": {"validation": 0.34}},
    "augmentation": {"copies": 1},
    "experiments": {"long": {**EXPERIMENT, "epochs": 2}, "short": {**EXPERIMENT, "epochs": 1}},
    "search": {"depth": 9},
    "evaluation": {
        "k": [1, 3],
        "metrics": ["mAP", "nDCG@3"],
        "answers_drawn": 3,
        "strips_drawn": 2,
        "explanations": [],
        "bootstrap_rounds": 1000,
    },
}


def draw_picture(path, label, seed):
    """Draw one picture of a class. Two seeds give two pictures, nothing like near-duplicates."""
    random = np.random.default_rng([CLASSES.index(label), seed])
    height, width = random.integers(40, 64, size=2)
    y, x = np.mgrid[:height, :width]
    if label == "discs":
        shape = np.zeros((height, width), bool)
        for _ in range(3):
            row, column, radius = random.uniform((0, 0, 6), (height, width, 14))
            shape |= (y - row) ** 2 + (x - column) ** 2 < radius**2
        colour = (200, 40, 40)
    elif label == "stripes":
        angle, period = random.uniform((0, 8), (np.pi, 20))
        shape = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period) > 0
        colour = (40, 200, 40)
    else:
        side, row, column = random.integers((6, 0, 0), (12, 12, 12))
        shape = ((y + row) // side + (x + column) // side) % 2 == 0
        colour = (40, 40, 200)
    pixels = np.where(shape[..., None], colour, (230, 230, 230)) + random.normal(
        0, 8, (height, width, 3)
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def draw_data_set(folder, counts=TREE):
    """Draw a tree of three classes that can be told apart, PNG and JPEG; all pictures differ."""
    seed = 0
    for part, count in counts.items():
        for label in CLASSES:
            for number in range(count):
                seed += 1
                suffix = "png" if number % 2 else "jpg"
                draw_picture(Path(folder, part, label, f"{label}_{number}.{suffix}"), label, seed)


SIDE_BY_SIDE = ("--resources", "gpu=2", "--cores", "3", "--max-threads", "1")
"""Small jobs wait for imports more than they compute: on two cores, three at once are quickest."""


FORKS = multiprocessing.get_context("forkserver")
"""Processes that have loaded Snakemake, though nothing of the library: half of a dry run's cost."""
FORKS.set_forkserver_preload(
    [
        *("snakemake.cli", "snakemake.profiles", "snakemake.report.html_reporter"),
        *("pandas", "pydantic", "numpy", "PIL.Image", "yaml", "yte", "smart_open", "nbformat"),
    ]
)

WRITER = "scripts/gallerist/tracking/writer.py"
SHOWS_NOTHING = """
import sys
sys.stdin.read()
print('{"logged": 0}')
"""
"""In the place of the process that shows a workflow in MLflow, which takes some seconds to load."""
COUNTS_ITSELF = f"""
import os
descriptor = os.open("writers", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(descriptor, b"1")
{SHOWS_NOTHING}
"""


class Workflow:
    """A working copy of the workflow in a folder, and what one does with it."""

    def __init__(self, folder, config=CONFIG, counts=TREE):
        """Copy the checkout to `folder`, draw the pictures, write config/config.yaml.

        counts: pictures a class for every folder of pictures/; None leaves pictures/ out.
        """
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in PARTS_OF_CHECKOUT:
            source, target = CHECKOUT / name, self.folder / name
            if source.is_dir():
                ignored = shutil.ignore_patterns(*NO_SOURCE)
                shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
            elif source.exists():
                shutil.copy2(source, target)
        if counts is not None:
            draw_data_set(self.folder / "pictures", counts)
        self.write_config(config)

    @classmethod
    def at(cls, folder):
        """The workflow that is in a folder already."""
        workflow = cls.__new__(cls)
        workflow.folder = Path(folder)
        return workflow

    def log_nothing(self):
        """From here on nothing is shown in MLflow; the records have what is to be logged."""
        (self.folder / WRITER).write_text(SHOWS_NOTHING, encoding="utf-8")

    def count_writers(self):
        """From here on nothing is shown in MLflow, and `writers` says how often it would be."""
        (self.folder / WRITER).write_text(COUNTS_ITSELF, encoding="utf-8")

    @property
    def writers(self):
        """The processes that were started to show something in MLflow, since they are counted."""
        counted = self.folder / "writers"
        return len(counted.read_bytes()) if counted.exists() else 0

    def log_again(self):
        """From here on MLflow is real. `gallerist summary` logs what it lacks, from the records."""
        shutil.copy2(CHECKOUT / WRITER, self.folder / WRITER)

    def copy(self, folder):
        """An independent copy elsewhere, with all results; every file keeps its times."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workflow.at(folder)

    @property
    def config_file(self):
        return self.folder / "config" / "config.yaml"

    @property
    def results(self):
        """The folder of the data set's results."""
        return self.folder / "results" / self.read_config()["dataset"]["name"]

    def rows(self, name):
        """The rows of a CSV file among the results, each a dict."""
        with (self.results / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def read_config(self):
        return yaml.safe_load(self.config_file.read_text(encoding="utf-8"))

    def write_config(self, config):
        text = yaml.safe_dump(config, sort_keys=False)
        self.config_file.write_text(text, encoding="utf-8")

    def edit_config(self, key, value):
        """Set a key by its dotted path. Groups on the way to it are made where they are missing."""
        config = self.read_config()
        *groups, last = key.split(".")
        inner = config
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
        self.write_config(config)

    def remove_config(self, key):
        """Take a key away by its dotted path."""
        config = self.read_config()
        *groups, last = key.split(".")
        inner = config
        for group in groups:
            inner = inner[group]
        del inner[last]
        self.write_config(config)

    def edit_text(self, path, old, new):
        """Replace a text, which must be there, in one file."""
        text = (self.folder / path).read_text(encoding="utf-8")
        assert old in text, f"{path} has no {old!r}"
        (self.folder / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    def environment(self, **variables):
        """The environment of everything that runs here: nothing of whoever runs the tests."""
        # Without bytecode every job would compile the library of the copy once more.
        foreign = ("MLFLOW_", "SNAKEMAKE_", "_MLFLOW_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
        return {
            **kept,
            "PATH": os.pathsep.join([str(COMMANDS), os.environ.get("PATH", "")]),
            # The library of the copy, not of the checkout that is installed.
            "PYTHONPATH": str(self.folder / "scripts"),
            **variables,
        }

    def run(self, *arguments, check=True, env=None, timeout=600):
        """Run snakemake. With `check`, a failure raises with the end of what was said.

        It runs in a process that has loaded it already; `run_command` runs the command itself.
        env: further environment variables. Returns the completed process; stdout is the screen.
        """
        words = ["snakemake", *SIDE_BY_SIDE, *arguments]
        return _checked(self._run_forked(words, env or {}, timeout), check)

    def run_command(self, *arguments, **options):
        """Run the command `snakemake`, as somebody who types it does. options: those of `call`."""
        return self.call([COMMANDS / "snakemake", *SIDE_BY_SIDE, *arguments], **options)

    def gallerist(self, *arguments, check=True, env=None, timeout=600):
        """Run the command line tool."""
        # As the command does, but with the library of the copy.
        command = [sys.executable, "-m", "gallerist.commands.main", *arguments]
        return self.call(command, check=check, env=env, timeout=timeout)

    def call(self, command, *, check=True, env=None, timeout=600):
        """Run any command in the folder; stdout and stderr come together, in order."""
        result = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env=self.environment(**(env or {})),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=timeout,
        )
        return _checked(result, check)

    def _run_forked(self, words, variables, timeout):
        """The command `snakemake`, in a process that has loaded it already."""
        with tempfile.TemporaryDirectory() as folder:
            screen = Path(folder, "screen")
            screen.touch()
            process = FORKS.Process(
                target=_snakemake,
                args=(words, self.folder, self.environment(**variables), screen),
            )
            process.start()
            process.join(timeout)
            if process.is_alive():
                process.kill()
                raise subprocess.TimeoutExpired(words, timeout)
            said = screen.read_text(encoding="utf-8", errors="replace")
        return subprocess.CompletedProcess(words, process.exitcode, said)

    @contextlib.contextmanager
    def started(self, *arguments, env=None):
        """Snakemake at work in a process group of its own, which is gone when the block ends."""
        process = subprocess.Popen(
            [str(COMMANDS / "snakemake"), *SIDE_BY_SIDE, *arguments],
            cwd=self.folder,
            env=self.environment(**(env or {})),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def rerun(self, *arguments):
        """Run, and name the jobs that were done."""
        return jobs_of(self.run(*arguments))

    def dry_run(self, *arguments):
        """Name the jobs that a run would do."""
        return jobs_of(self.run("--dry-run", *arguments))

    def content(self, paths):
        """Files, and all files in folders, of these paths -> their time and content."""
        files = []
        for path in (self.folder / each for each in paths):
            files += sorted(path.rglob("*")) if path.is_dir() else [path]
        return {
            str(file.relative_to(self.folder)): (file.stat().st_mtime_ns, file.read_bytes())
            for file in files
            if not file.is_dir()
        }

    def tracking(self):
        """An MlflowClient on the SQLite store: the configured one, or that of the results."""
        from mlflow import MlflowClient

        store = f"sqlite:///{self.folder / 'results/mlflow/mlflow.db'}"
        uri = self.read_config().get("tracking", {}).get("uri") or store
        database = Path(uri.removeprefix("sqlite:///"))
        assert database.is_file(), f"there is no {database}"
        return MlflowClient(tracking_uri=uri)

    def tracked_runs(self, experiment, filter_string=""):
        """All active runs of an MLflow experiment: "tiny" or "tiny/stages"."""
        client = self.tracking()
        found = client.get_experiment_by_name(experiment)
        assert found is not None, f"MLflow has no experiment {experiment}"
        return list(client.search_runs([found.experiment_id], filter_string, max_results=1000))


def _checked(result, check):
    """The finished process; AssertionError with the end of what it said when it failed."""
    if check and result.returncode != 0:
        raise AssertionError(
            f"{' '.join(map(str, result.args))} ended with {result.returncode}:\n"
            + result.stdout[-6000:]
        )
    return result


def _snakemake(words, folder, environment, screen):
    """Do what the command `snakemake` does, in this process."""
    from snakemake.cli import main

    with screen.open("w") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment["PYTHONPATH"].split(os.pathsep))
    sys.argv = words
    main()


def jobs_of(result):
    """The jobs that a finished process of snakemake did, or would do after --dry-run.

    A set of names: the rule, then the wildcards. Rule `all`, which does nothing, is left out.
    Raises AssertionError when one job was done twice.
    """
    announced = {number: name for number, name, _ in _announced(result)}
    said = all_said(result)
    if "This was a dry-run" in said:
        done = list(announced.values())
    else:
        finished = re.findall(r"^Finished jobid: (\d+)", said, flags=re.MULTILINE)
        done = [announced[number] for number in finished]
    assert len(done) == len(set(done)), f"a job was done twice: {sorted(done)}"
    return set(done) - {"all"}


def outputs_of(result):
    """The files that each job of a run was to write: name of the job -> paths in the folder."""
    return {
        name: fields["output"].split(", ")
        for _, name, fields in _announced(result)
        if "output" in fields
    }


def all_said(result):
    """All that snakemake said: its log, where there is one, for the screen shows a line a job."""
    logs = re.findall(r"Log: (/.+\.snakemake\.log)$", result.stdout, flags=re.MULTILINE)
    return "\n".join([result.stdout, *(Path(log).read_text(encoding="utf-8") for log in logs)])


SOURCES = ("source", "challenge")
"""Whose parts are imported by one job."""


def _announced(result):
    """Number, name and fields of every job that snakemake says it begins."""
    blocks = re.findall(
        r"^(?:local)?rule (\w+):\n((?:    .+\n)+)", all_said(result) + "\n", flags=re.MULTILINE
    )
    for rule, block in blocks:
        fields = dict(re.findall(r"^    (\w+): (.*)$", block, flags=re.MULTILINE))
        wildcards = [each.partition("=")[2] for each in fields.get("wildcards", "").split(", ")]
        # Rules that differ in the parts that they are for have one name before the underscores.
        name, _, suffix = rule.partition("__")
        of_all_parts = suffix if suffix in SOURCES else ""
        yield fields["jobid"], " ".join([name, *filter(None, (of_all_parts, *wildcards))]), fields


def wait_for(condition, seconds=300.0):
    """The first true answer of `condition`; AssertionError when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"it did not happen within {seconds:.0f} s")


def free_port():
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
