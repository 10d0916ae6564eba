"""How one ranking is turned into one figure: the choices that evaluators make, each by its name.

Two evaluators that agree on ranking, truth and metric still publish different figures, because they
decide otherwise what no formula says: what junk does, whether the query's own file is an answer,
by what the average precision is divided. A `Protocol` names every one of these choices; `reason`
says what speaks for each or against it. `protocol_scores` computes the figure of one,
`protocol_search` finds those that give a figure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

Family = Literal["hit rate", "precision", "recall", "mAP", "MRR", "nDCG"]
FAMILIES: tuple[Family, ...] = ("hit rate", "precision", "recall", "mAP", "MRR", "nDCG")

Cutoff = int | Literal["R"] | None
"""The first k answers; as many as there are right ones; or the whole ranking."""


@dataclass(frozen=True)
class Measure:
    """A metric and where it looks to: "mAP@10", "mAP@R", "mAP"."""

    family: Family
    k: Cutoff = None

    def __str__(self) -> str:
        """The name that `evaluation.metrics` has for it."""
        if self == Measure("precision", "R"):
            return "R-precision"
        return self.family if self.k is None else f"{self.family}@{self.k}"


@dataclass(frozen=True)
class Protocol:
    """Every choice between a ranking and its figure. The values are explained by `REASONS`.

    The figure of the defaults is that of `gallerist evaluate`, with junk taken out where the truth
    names any; `divisor`, `own` and `setup` have defaults of the metric and of the truth, see
    `protocol_search.default`.
    setup: which of the truth's answers are right, such as easy, medium and hard; "" for all.
    depth: answers that are kept of each query, before anything is taken out of them; None for all.
    batch: size of the batches of queries of which the last is filled up; None where it is not.
    """

    setup: str = ""
    keys: str = "queries"
    own: str = "out"
    junk: str = "out"
    copies: str = "many"
    distractors: str = "match nothing"
    ties: str = "as ranked"
    depth: int | None = None
    divisor: str = ""
    integration: str = "steps"
    average: str = "queries"
    unanswerable: str = "left out"
    batch: int | None = None

    def departures(self, default: "Protocol") -> dict[str, str | int | None]:
        """The choices in which it differs from the default, the setup apart, which is no choice."""
        return {
            name: getattr(self, name)
            for name in CHOICES
            if getattr(self, name) != getattr(default, name)
        }


CHOICES = tuple(field.name for field in fields(Protocol) if field.name != "setup")

OF_ORDER = ("setup", "keys", "own", "junk", "copies", "distractors", "ties", "depth")
"""What decides at which ranks the right answers stand; the others only compute with those."""


class Reason(NamedTuple):
    """Whether a choice can be defended in a publication that names it, and why in one line."""

    defensible: bool
    why: str


REASONS: Mapping[tuple[str, str], Reason] = {
    ("divisor", "R"): Reason(
        True, "the definition of average precision; at k < R no ranking reaches 1"
    ),
    ("divisor", "min(k, R)"): Reason(
        True, "the best ranking of k answers gets 1; Google Landmarks, Kaggle"
    ),
    ("divisor", "hits"): Reason(
        False, "a right answer that is not found costs nothing, and a further hit can lower it"
    ),
    ("divisor", "k"): Reason(True, "the definition of precision at k, as trec_eval has it"),
    ("divisor", "min(k, last right rank)"): Reason(
        True,
        "the evaluator of the revisited Oxford and Paris; where R < k a sure 1 becomes possible",
    ),
    ("integration", "steps"): Reason(
        True, "the definition: precision at each right answer; trec_eval, scikit-learn"
    ),
    ("integration", "trapezoids"): Reason(
        True, "the evaluators of Oxford and Paris; other than the definition, so name it"
    ),
    ("junk", "out"): Reason(True, "junk is neither right nor wrong: its rank must not count"),
    ("junk", "wrong"): Reason(
        False, "the truth says that junk cannot be judged; a good ranking has it early and pays"
    ),
    ("own", "out"): Reason(True, "a query's own file is no finding"),
    ("own", "in"): Reason(False, "every query finds its own file first: a sure hit is added"),
    ("own", "out, with its copies"): Reason(
        True, "stricter: pictures made from the query's original are no finding either"
    ),
    ("copies", "many"): Reason(True, "each picture is an answer; say that copies are among them"),
    ("copies", "one"): Reason(
        True, "an original counts once, by its first copy: copies cannot fill the first ranks"
    ),
    ("distractors", "match nothing"): Reason(True, "a distractor is the right answer to no query"),
    ("distractors", "match each other"): Reason(
        False, "distractors have no content in common; as a class they are the largest one"
    ),
    ("ties", "as ranked"): Reason(True, "the order of the file, which somebody could look at"),
    ("ties", "right first"): Reason(
        False, "the order is made from the truth; a constant distance scores 1"
    ),
    ("ties", "right last"): Reason(
        True, "a lower bound: no luck can be in it; say so, as it is not usual"
    ),
    ("ties", "by id"): Reason(True, "repeatable, where ids say nothing of the classes"),
    ("ties", "by id, falling"): Reason(
        True, "repeatable, where ids say nothing of the classes; trec_eval"
    ),
    ("average", "queries"): Reason(True, "the usual mean: each query weighs the same"),
    ("average", "classes"): Reason(True, "each class weighs the same; say macro mean"),
    ("average", "originals"): Reason(
        True, "queries made from one original weigh as one, which they are"
    ),
    ("unanswerable", "left out"): Reason(
        True, "no ranking can answer a query without a right picture; say how many there are"
    ),
    ("unanswerable", "count as 0"): Reason(
        False, "the figure then says how many queries cannot be answered at all"
    ),
    ("keys", "queries"): Reason(True, "answers are filed under the query that they answer"),
    ("keys", "gallery, by name"): Reason(
        False, "the answers to query i are judged by the class of gallery picture i: a fault"
    ),
    ("keys", "gallery, any order"): Reason(
        False, "the same fault, in the mean over all orders in which a gallery can be listed"
    ),
}
"""(choice, value) -> what is to be said of it."""


def reason(choice: str, value: str | int | None) -> Reason:
    """What is to be said of one value of a choice."""
    if choice == "depth":
        if value is None:
            return Reason(True, "the whole ranking")
        return Reason(
            True, f"only the first {value} answers were kept, the others are not found; say so"
        )
    if choice == "batch":
        if value is None:
            return Reason(True, "every query counts once")
        return Reason(
            False, f"the last batch of {value} is filled from the beginning: those count twice"
        )
    return REASONS[choice, str(value)]


def is_defensible(protocol: Protocol, default: Protocol) -> bool:
    """Whether each departure from the default can be defended."""
    return all(reason(*each).defensible for each in protocol.departures(default).items())


def describe(choice: str, value: str | int | None) -> str:
    """A choice and its value in a few words: "integration: trapezoids"."""
    return f"{choice}: {'all' if value is None else value}"
