"""Which data sets below a folder of results were compared, so that there is something to show."""

from pathlib import Path

from gallerist.io.errors import UserError

TABLE = "comparison/comparison.csv"
"""Of a data set whose experiments were compared."""


def compared_in(root: Path) -> list[str]:
    """Their names, in order."""
    return sorted(path.parents[1].name for path in root.glob(f"*/{TABLE}"))


def data_set_names(root: Path) -> list[str]:
    """The same. Raises UserError where there is none."""
    if names := compared_in(root):
        return names
    raise UserError(f"{root} has no compared experiments yet. Run the workflow first: make run")
