"""What the tests of a cluster share: a Slurm of two nodes, and a workflow that sends it jobs."""

import contextlib
import os
import random
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from checkout import CHECKOUT
from tiny_workflow import COMMANDS, wait_for

sys.path.insert(0, str(CHECKOUT))

from benchmarks.equality import compare

SCRIPT = CHECKOUT / "tests/cluster/two_nodes.sh"
PROFILE = ("--workflow-profile", "profiles/slurm")
QUICK = ("--slurm-init-seconds-before-status-checks", "5", "--jobs", "2", "--max-threads", "1")
"""Two jobs at a time, which two cores can do, each of the one thread that local runs are given."""

EPOCHS = 150
LAST = 60
"""The epoch that something befalls a training at is no later: half a minute is left then."""

MODEL = "results/tiny/models/short/model.keras"

BEFALLEN = '''
"""What befalls a training in the tests: an epoch takes a third of a second, and one much memory."""

import time
from pathlib import Path

GREEDY = Path("takes_memory_at_epoch")


def befallen(report):
    def slowly(epoch, row):
        report(epoch, row)
        time.sleep(0.3)
        if GREEDY.is_file() and epoch >= int(GREEDY.read_text()):
            GREEDY.unlink()
            taken = bytearray(b"x") * (2 << 30)
            time.sleep(60)
            del taken

    return slowly
'''


RESULTS = (
    "comparison/comparison.csv",
    "rankings/short.csv",
    "evaluation/short/metrics.json",
    "features/short/gallery.npy",
    "models/short/model.keras",
)


@dataclass
class Job:
    """One that Slurm knows of: its number, its state, what it is about, the node it runs on."""

    number: str
    state: str
    about: str
    node: str


class TwoNodes:
    """The nodes n1 and n2, with two processors each."""

    def __init__(self, state):
        self.environment = {**os.environ, "STATE": str(state)}

    def __call__(self, *words):
        command = [str(SCRIPT), *words]
        return subprocess.run(
            command, env=self.environment, check=True, stdin=subprocess.DEVNULL, timeout=120
        )

    def jobs(self, folder):
        """All jobs that were sent from a folder, those that have ended too."""
        told = subprocess.run(
            ["squeue", "--states=all", "--noheader", "--format=%i|%T|%k|%N|%Z"],
            capture_output=True,
            text=True,
            check=True,
        )
        rows = [line.split("|") for line in told.stdout.splitlines()]
        return [Job(*row[:4]) for row in rows if Path(row[4]) == Path(folder)]

    def training(self, folder):
        """The job that trains the network `short`, if it runs; None else."""
        found = self.trainings(folder)
        return next((each for each in found if each.state == "RUNNING"), None)

    def trainings(self, folder):
        """All jobs that were sent to train it."""
        about = "rule_train_network_wildcards_short"
        return [each for each in self.jobs(folder) if each.about == about]

    def whole(self):
        """Bring back a node that was killed, and end what others left."""
        subprocess.run(["scancel", "--user=root"], check=False)
        told = subprocess.run(
            ["sinfo", "--noheader", "-N", "-p", "main", "--format=%N %t"],
            capture_output=True,
            text=True,
            check=True,
        )
        for name, state in map(str.split, told.stdout.splitlines()):
            if state.startswith(("down", "drain")):
                self("node", name)


class OnCluster:
    """A workflow whose jobs are sent to the two nodes, by the profile alone."""

    def __init__(self, workflow, nodes, fault=""):
        """fault: what is to befall it, with whose name moments are drawn."""
        self.workflow, self.nodes, self.fault = workflow, nodes, fault

    def run(self, *arguments, check=True):
        command = [COMMANDS / "snakemake", *PROFILE, *QUICK, *arguments]
        return self.workflow.call(command, check=check, timeout=1200)

    def started(self, *arguments):
        return self.workflow.started(*PROFILE, *QUICK, *arguments)

    @property
    def log(self):
        return self.workflow.results / "logs/train_network/short.log"

    def epochs(self):
        """Epochs of the training under way that its log tells of."""
        text = ""
        with contextlib.suppress(FileNotFoundError):  # between two attempts, too
            text = self.log.read_text(encoding="utf-8")
        found = re.findall(rf"epoch (\d+) of {EPOCHS}:", text)
        return int(found[-1]) if found else 0

    def moment(self, seed):
        """The epoch of the training that something is to befall it at, drawn with the seed."""
        return random.Random(f"{self.fault} {seed}").randrange(2, LAST)

    def training_at(self, seed):
        """The job that trains, once it is at that epoch."""
        epoch = self.moment(seed)
        wait_for(lambda: self.epochs() >= epoch, seconds=600)
        return wait_for(lambda: self.nodes.training(self.workflow.folder))

    def check(self, undisturbed):
        """All bytes are those of a run that nothing befell, and no training began anew."""
        _, differences = compare(undisturbed.results, self.workflow.results)
        assert differences == []
        for name in RESULTS:
            assert (self.workflow.results / name).is_file()

    def check_it_went_on(self):
        """The training that was disturbed began where it had been."""
        text = self.log.read_text(encoding="utf-8")
        assert int(re.search(r"training goes on after epoch (\d+)", text)[1]) >= 1
        assert "epoch 1 of" not in text


def train_for_long(workflow):
    """Have one network trained anew, for long enough that something can befall it."""
    workflow.edit_config("experiments.short.epochs", EPOCHS)
    workflow.edit_config("experiments.short.early_stopping", None)


def send_what_networks_do(workflow):
    """The jobs of networks are sent, all others run beside the workflow; trainings are slow."""
    workflow.edit_config("cluster.least_minutes", 0.25)
    reporting, importing = "run.curve_point}", "    from gallerist.data.manifest import Manifest"
    for old, new in (
        (reporting, "befallen(run.curve_point)}"),
        (importing, f"    from befallen import befallen\n{importing}"),
    ):
        workflow.edit_text("scripts/train_network.py", old, new)
    (workflow.folder / "scripts/befallen.py").write_text(BEFALLEN, encoding="utf-8")
