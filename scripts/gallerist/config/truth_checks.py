"""What a configuration may not say of a truth that is not a class, and without classes."""

from collections.abc import Iterator

from gallerist.config.schema import KeyPath
from gallerist.io.errors import UserError
from gallerist.settings.configuration import Configuration
from gallerist.workflow.data_plan import DataPlan

Problems = Iterator[tuple[KeyPath, str]]

STATED = ("pairs", "column", "labels", "within", "annotations")
_TABLE = "is stated in a table of pictures: give dataset.table, too."


def check_truth(whole: Configuration) -> Problems:
    """One way to state what is right, and what it needs of a table."""
    truth, path, plan = whole.dataset.truth, ("dataset", "truth"), DataPlan(whole)
    try:
        table = plan.table
    except (UserError, OSError):
        return  # the table itself is named
    if truth is None:
        if table and not table.labelled:
            problem = "missing. The table has no column label: say what is right"
            yield path, f"{problem}, as pairs for example (docs/data.md)."
        return
    given = [name for name in STATED if getattr(truth, name) is not None]
    if len(given) != 1:
        found = f"{' and '.join(given)} are given" if given else "nothing is stated"
        yield path, f"{found}. Keep one of {', '.join(STATED)}."
        return
    if given[0] in ("column", "within") and table is None:
        yield (*path, given[0]), _TABLE
    elif truth.column and table and truth.column not in table.columns:
        there = ", ".join(table.columns)
        yield (*path, "column"), f"the table has no column {truth.column!r}; it has {there}."
    elif truth.within and table and table.position is None:
        known = "latitude and longitude, nor east and north."
        yield (*path, "within"), f"the table has no columns {known}"
    elif truth.labels and table and not table.labelled:
        yield (*path, "labels"), "the table has no column label."


def check_classes(whole: Configuration) -> Problems:
    """What needs classes, or pictures to learn from, that are not there."""
    plan = DataPlan(whole)
    try:
        labelled, learned_from = plan.labelled, plan.learned_from
    except (UserError, OSError):
        return
    if whole.evaluation.abstaining and (whole.dataset.truth or learned_from != "training"):
        problem = "a threshold is fitted on held-out training pictures, by their classes"
        yield ("evaluation", "abstaining"), f"{problem}, which there are none of. Write null."
    for name, settings in whole.experiments.items():
        path = ("experiments", name)
        trained = getattr(settings, "epochs", 0) > 0
        if trained and not labelled:
            problem = "a classifier needs pictures of one class each, and these have none"
            yield (*path, "epochs"), f"{problem} or several. Write epochs: 0, for the backbone."
        elif trained and learned_from != "training":
            yield (*path, "epochs"), "the table has no row of the part training: write epochs: 0."
        if getattr(settings, "fusion", None) == "weighted" and (
            not labelled or learned_from != "training"
        ):
            problem = "weights are learned from the classes of validation pictures"
            yield (*path, "fusion"), f"{problem}, and there are none. Take concatenation, or ranks."
        if getattr(settings, "reduction", None) and learned_from != "training":
            problem = "is fitted on training pictures, and the table has none."
            yield (*path, "reduction"), problem
    if whole.dataset.extend and (not labelled or learned_from != "training"):
        yield ("dataset", "extend"), "fills up classes of training pictures, and there are none."
