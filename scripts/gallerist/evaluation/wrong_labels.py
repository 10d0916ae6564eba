"""How many labels would have to be wrong before another experiment is best?"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gallerist.io.arrays import Floats

_ROUNDING = 1e-9


class WrongLabels(NamedTuple):
    """The least number of original pictures whose label would have to be wrong.

    best: the experiment with the highest mean. rival: the one that so few could put level with it.
    """

    best: str
    rival: str
    wrong_labels: int

    def sentence(self, metric: str) -> str:
        """What it means. metric: that decides."""
        if not self.wrong_labels:
            return f"{self.best} and {self.rival} are level by {metric}."
        labels = "label" if self.wrong_labels == 1 else "labels"
        return (
            f"{self.best} is best by {metric} unless {self.wrong_labels} {labels} of queries or "
            f"more are wrong: as few could put {self.rival} level with it."
        )


def fewest_wrong_labels(
    values: Mapping[str, Floats], originals: Sequence[str]
) -> WrongLabels | None:
    """With fewer wrong labels of queries than this, the best experiment stays the best.

    values: experiment -> (queries,) the metric that decides, in [0, 1], of the same queries.
    originals: (queries,) the picture that each was made from: copies have one label.

    Under another label a query has other values, at worst 0 for the best and 1 for its rival: its
    difference d falls by 1 + d at most. So the fewest that can take up the lead are those with the
    greatest falls. This is a lower bound: whether there is a label by which a query falls so far is
    not asked. Of the hit rate at 1, where each query is an original, it is the number itself: where
    the best hit and its rival missed, the class of the rival's answer is such a label. Labels of
    the gallery are taken as right.

    None with fewer than two experiments. 0 where two are level.
    """
    means = {name: float(column.sum()) for name, column in values.items()}
    if len(means) < 2:
        return None
    best = max(means, key=means.__getitem__)
    codes = np.unique(np.asarray(originals), return_inverse=True)[1]
    found = []
    for rival in values:
        if rival != best:
            falls = np.bincount(codes, 1 + values[best] - values[rival])
            taken = np.concatenate([[0.0], np.cumsum(np.sort(falls)[::-1])])
            lead = means[best] - means[rival]
            found.append((int(np.argmax(taken >= lead - _ROUNDING)), rival))
    fewest, rival = min(found, key=lambda each: each[0])
    return WrongLabels(best, rival, fewest)
