"""Section `dataset.truth`: what is a right answer, where that is not a picture of the class."""

from typing import Literal

from gallerist.settings.base import Positive, Settings, key
from gallerist.settings.texts import File, Text


class Truth(Settings):
    """What is a right answer, in place of a picture of the query's class: one of `pairs`, `column`,
    `labels`, `within` and `annotations`. docs/data.md.
    """

    pairs: File | None = key(None, expects="the path of a file", example="data/truth.csv")
    """A table, CSV or Parquet, of the columns `query` and `gallery`, which name pictures, and
    perhaps `relevance`: above 0 right, and the gain in nDCG; 0 wrong; below 0 junk, which is
    neither, and left out of the ranking. Whatever it does not name is wrong."""
    column: Text | None = key(None, example="answers")
    """The column of `dataset.table` that names a query's right answers, `;` between them; its junk
    stands in a column `junk`."""
    labels: Literal["any", "all"] | None = key(
        None, noun="a way to compare labels", example="any", absent=True
    )
    """Pictures have several labels, `;` between them. Right is what has any label of the query, or
    all of them."""
    within: Positive | None = key(None, "metres", example=25)
    """Right is what was taken at most so far away: columns `latitude` and `longitude` in degrees of
    `dataset.table`, or `east` and `north` in metres."""
    annotations: File | None = key(
        None, expects="the path of a file", example="data/roxford5k.json"
    )
    """Easy, hard and junk answers as the revisited Oxford and Paris have them, in JSON."""
    setup: Literal["easy", "medium", "hard"] = key("medium", noun="a setup")
    """Of `annotations`. `easy`: the easy ones are right, hard ones are junk. `medium`: both are
    right. `hard`: the hard ones are right, easy ones are junk."""
