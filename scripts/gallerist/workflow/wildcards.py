"""The pattern of a wildcard that stands for one of many names."""

import os
import re
from collections.abc import Iterable
from itertools import groupby


def one_of(names: Iterable[str]) -> str:
    """The regular expression that matches these names and no other text; nothing without any.

    What names begin with in common stands in it once, so that a match takes as many steps as a
    name has letters: of a thousand names side by side each would be tried, for each file of each
    job, as the workflow is planned.
    """
    distinct = sorted(set(names))
    return _one_of(distinct) if distinct else "(?!)"


def _one_of(names: list[str]) -> str:
    """names: sorted and distinct, so that what the first and the last share all share."""
    if len(names) == 1:
        return re.escape(names[0])
    start = os.path.commonprefix([names[0], names[-1]])  # noqa: RUF071 - of letters
    rests = groupby((name[len(start) :] for name in names), key=lambda rest: rest[:1])
    return f"{re.escape(start)}(?:{'|'.join(_one_of(list(group)) for _, group in rests)})"
