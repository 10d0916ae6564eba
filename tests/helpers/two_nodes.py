"""What the tests of a cluster share: a Slurm of two nodes, and a workflow that sends it jobs."""

import os
import random
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from checkout import CHECKOUT
from tiny_workflow import COMMANDS, wait_for

sys.path.insert(0, str(CHECKOUT))

SCRIPT = CHECKOUT / "tests/cluster/two_nodes.sh"
PROFILE = ("--workflow-profile", "profiles/slurm")
QUICK = ("--slurm-init-seconds-before-status-checks", "5", "--jobs", "2", "--max-threads", "1")
"""Two jobs at a time, which two cores can do, each of the one thread that local runs are given."""

EPOCHS = 400
MODEL = "results/tiny/models/short/model.keras"


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

    def running(self, folder, rule):
        """The job of a rule that runs; None where none does."""
        found = [each for each in self.jobs(folder) if each.about.startswith(f"rule_{rule}")]
        return next((each for each in found if each.state == "RUNNING"), None)

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

    def __init__(self, workflow, nodes):
        self.workflow, self.nodes = workflow, nodes

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
        text = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
        found = re.findall(rf"epoch (\d+) of {EPOCHS}:", text)
        return int(found[-1]) if found else 0

    def training_at(self, moment):
        """The job that trains, once it is at a random epoch. moment: seeds which one."""
        epoch = random.Random(moment).randrange(2, EPOCHS // 2)
        wait_for(lambda: self.epochs() >= epoch, seconds=300)
        return wait_for(lambda: self.nodes.running(self.workflow.folder, "train_network"))

    def check_the_training(self, undisturbed):
        """It went on from where it was, and ended as one that nothing befell."""
        assert "training goes on after epoch" in self.log.read_text(encoding="utf-8")
        assert trained(self.workflow) == undisturbed


def trained(workflow):
    """The bytes of the weights, and the history but for its times."""
    archive = zipfile.ZipFile(workflow.folder / MODEL)
    rows = workflow.rows("models/short/history.csv")
    kept = [{key: row[key] for key in row if key != "epoch_seconds"} for row in rows]
    return archive.read("model.weights.h5"), kept


def train_for_long(workflow):
    """Have one network trained anew, for long enough that something can befall it."""
    workflow.edit_config("experiments.short.epochs", EPOCHS)
    workflow.edit_config("experiments.short.early_stopping", None)
    workflow.edit_config("cluster.least_minutes", 0)
