"""A training of the tiny workflow that takes long enough for something to befall it."""

import re

from tiny_workflow import wait_for

EPOCHS = 15
MODEL = "results/tiny/models/short/model.keras"
HALF_WRITTEN = ("model.keras", "preprocessing.json", "history.csv", "training.record.json")


def pid_at_work(workflow):
    """The process that trains, once it has finished an epoch of the new training."""
    log = workflow.results / "logs/train_network/short.log"

    def pid():
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        found = re.search(r"train_network short on .*, pid (\d+)", text)
        return int(found[1]) if found and f"epoch 2 of {EPOCHS}:" in text else None

    return wait_for(pid)


def check_the_training_is_whole(workflow):
    folder = (workflow.folder / MODEL).parent
    history = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    assert len(history) == 1 + EPOCHS
    assert all((folder / name).read_bytes() != b"half" for name in HALF_WRITTEN)
