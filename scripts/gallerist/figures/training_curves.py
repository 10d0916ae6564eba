"""The curves of a training: accuracy and loss by epoch."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gallerist.figures.style import PALETTE, SMALL, WIDTH, entitle, save
from gallerist.io.files import PathLike
from gallerist.training.history import read_history

_MARKED_EPOCHS = 30
"""Longer curves are drawn without a dot an epoch."""

_RETRIEVAL = {
    "accuracy": (
        ("val_map_at_r", "validation, mAP@R", "--", PALETTE[1]),
        ("val_top1", "validation, top-1", "-.", PALETTE[2]),
    ),
    "loss": (("loss", "training", "-", PALETTE[0]),),
}
"""What is drawn of a training by a loss for retrieval."""


def draw_training_curves(kept: PathLike, path: PathLike, *, title: str) -> None:
    """Accuracy and loss by epoch, training and validation, as PNG.

    kept: the history that the training left, see `training.history`.
    """
    history = read_history(kept)
    figure = Figure(figsize=(WIDTH + 0.8, 3.2), layout="constrained")
    entitle(figure, title)
    epochs = [row["epoch"] for row in history]
    marker = "." if len(history) <= _MARKED_EPOCHS else ""
    axes = figure.subplots(1, 2)
    by_retrieval = bool(history) and "val_map_at_r" in history[0]
    for axis, name, unit in zip(axes, ("accuracy", "loss"), (" (share right)", ""), strict=True):
        for column, label, line, colour in (
            _RETRIEVAL[name]
            if by_retrieval
            else (
                (name, "training", "-", PALETTE[0]),
                (f"val_{name}", "validation", "--", PALETTE[1]),
            )
        ):
            values = [row[column] for row in history]
            axis.plot(epochs, values, line, color=colour, marker=marker, label=label)
        axis.set(xlabel="epoch", ylabel=f"{name}{unit}")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axis.grid(alpha=0.3)
        if not history:
            axis.set(xticks=[], yticks=[])
            axis.text(0.5, 0.5, "not trained", transform=axis.transAxes, ha="center")
    axes[0].set_ylim(0, 1.02)
    if history:
        for axis in axes if by_retrieval else axes[:1]:
            axis.legend(fontsize=SMALL)
    save(figure, path)
