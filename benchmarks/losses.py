"""An epoch of each loss: on rows of frozen layers, with the validation that follows it."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.loss_accuracy import CLASSIFICATION, WAYS, Prepared, Setting, prepare
from benchmarks.photos import photos
from benchmarks.rounds import Way, compared
from benchmarks.tables import Table

AGAINST = "times as fast as cross-entropy"


def measure(rounds: int, *, quick: bool = False) -> Table:
    """One epoch after the other, each loss in turn, all on the same rows."""
    from benchmarks.networks import configured

    configured()
    count, held_out = (64, 32) if quick else (640, 160)
    setting = Setting(image_size=64 if quick else 160, batch_size=32)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gallerist-")))
        training = stack.enter_context(photos(count)).manifest("training")
        validation = stack.enter_context(photos(held_out, part="query")).manifest("validation")
        ways = {}
        for name, loss in WAYS.items():
            made = prepare(setting, loss, training, validation, folder, seed=1)
            ways[name] = Way(_epoch(made), count, {AGAINST: CLASSIFICATION})
        table = compared(
            "losses",
            f"An epoch of {setting.backbone} at {setting.image_size} pixels by loss",
            ways,
            rounds,
            item=("picture", "pictures"),
            notes=(
                f"{count} training and {held_out} validation pictures, batches of "
                f"{setting.batch_size}; trained from {setting.freeze_until} on, the layers before "
                "it kept as rows; validation included",
            ),
        )
    rows = tuple({**row, "takes times as long": 1 / float(row[AGAINST] or 1)} for row in table.rows)
    return replace(table, rows=rows)


def _epoch(made: Prepared) -> Callable[[], object]:
    from gallerist.training.objective import objective
    from gallerist.training.passes import Passes

    aim = objective(made.half, made.training, made.settings)
    passes = Passes(aim.model, xla=False)

    def run() -> None:
        aim.model.reset_metrics()
        passes.over(made.training.epoch(1), "train_step")
        aim.validate(passes, made.validation, 1)

    return run
