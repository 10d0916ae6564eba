"""Which pictures of one gallery may answer each other: folds, and copies of one original."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gallerist.data.manifest import DISTRACTOR, Manifest
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike


@dataclass(frozen=True)
class Groups:
    """Pictures in groups, by which it is decided who may answer whom.

    of: picture id -> its group; a picture without one is admitted to all, and has all admitted.
    within: whether answers are to come from the query's own group, or from all others.
    folds: whether the groups are folds, of which each has figures of its own.
    """

    of: Mapping[str, str]
    within: bool
    folds: bool = False

    def admits(self, query: str, answer: str) -> bool:
        """Whether a picture may be an answer to another one, both by id."""
        asked, shown = self.of.get(query), self.of.get(answer)
        return asked is None or shown is None or (asked == shown) == self.within

    @cached_property
    def sizes(self) -> Counter[str]:
        """Group -> how many pictures are of it."""
        return Counter(self.of.values())


def answer_groups(pictures: Manifest, asking: Mapping[str, Any] | None) -> Groups | None:
    """The groups of the pictures of a gallery; None where all may answer each other.

    asking: None, {"leave_out": "original"}, or {"folds": number, by and seed}, as
    `settings.evaluation.Evaluation.asking` gives it. Raises UserError as `draw_folds`.
    """
    if not asking:
        return None
    if "folds" not in asking:
        return Groups(dict(zip(pictures.ids, pictures.sources, strict=True)), within=False)
    settings = asking["folds"]
    return Groups(draw_folds(pictures, **settings), settings["by"] == "class", folds=True)


def read_groups(manifest: PathLike | None, asking: Mapping[str, Any] | None) -> Groups | None:
    """The same of a gallery's manifest; none is read where all may answer each other."""
    return answer_groups(Manifest.read(manifest), asking) if manifest and asking else None


def draw_folds(pictures: Manifest, *, number: int, by: str, seed: int) -> dict[str, str]:
    """The fold of each picture by its id, from "1" on; distractors are in none.

    by "class": the classes are dealt to the folds in turn, in an order that the seed draws. by
    "original": so are the originals of each class, going on where the class before ended, so that
    every fold has its share of each class. The order of the pictures does not matter.

    Raises UserError where there are fewer classes, or originals, than folds.
    """
    rows = zip(pictures.ids, pictures.labels, pictures.sources, strict=True)
    known = [row for row in rows if row[1] != DISTRACTOR]
    classes = sorted({label for _, label, _ in known}, key=lambda label: _order_key(seed, label))
    if by == "class":
        dealt = classes
    else:
        label_of = {source: label for _, label, source in known}
        place = {label: turn for turn, label in enumerate(classes)}
        dealt = sorted(label_of, key=lambda each: (place[label_of[each]], _order_key(seed, each)))
    if len(dealt) < number:
        what = "classes" if by == "class" else "originals"
        raise UserError(
            f"evaluation.folds.number is {number}, but the gallery has {len(dealt)} {what}: ask "
            "for fewer folds"
        )
    fold_of = {each: str(turn % number + 1) for turn, each in enumerate(dealt)}
    return {name: fold_of[label if by == "class" else source] for name, label, source in known}


def _order_key(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
