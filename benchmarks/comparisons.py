"""The comparisons by name: which module measures each, and in how many rounds."""

from dataclasses import dataclass
from importlib import import_module

from benchmarks.tables import Table


@dataclass(frozen=True)
class Comparison:
    """One comparison: a module of this package with a function `measure(rounds, quick=...)`.

    rounds: how often each way is measured by default.
    """

    name: str
    rounds: int

    def measure(self, rounds: int | None = None, *, quick: bool = False) -> Table:
        """Measure it here and now.

        quick: with tiny sizes, to see that it works; the figures mean nothing.
        """
        chosen = rounds or (1 if quick else self.rounds)
        table: Table = import_module(f"benchmarks.{self.name}").measure(chosen, quick=quick)
        return table


COMPARISONS = {
    name: Comparison(name, rounds)
    for name, rounds in (
        ("decoding", 15),
        ("augmentation", 9),
        ("search", 7),
        ("indexes", 3),
        ("engines", 5),
        ("extraction", 9),
        ("training", 2),
        ("losses", 5),
        ("memory", 1),
        ("overhead", 1),
        ("serving", 5),
        ("browse", 3),
        ("abstaining", 1),
        ("seeds", 1),
        ("labels", 20),
    )
}
