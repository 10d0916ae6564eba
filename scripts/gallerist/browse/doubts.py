"""The pictures whose label is doubtful, as the page shows them."""

from collections.abc import Iterator
from typing import Any

from gallerist.browse.data_sets import DOUBTS, DataSet, NotThere
from gallerist.browse.searching import shown_picture
from gallerist.evaluation.doubtful_labels import Doubt, read_doubts

LISTED = 500
"""That a page lists at most, the surest first."""

NEAREST = 5
"""Of its neighbours, that are shown beside a picture."""


def shown_doubts(data: DataSet, most: int = LISTED) -> dict[str, Any]:
    """The doubtful labels with their pictures and the nearest ones, and how many there are."""
    path = data.there(DOUBTS)
    found = read_doubts(path) if path else []
    return {"total": len(found), "doubts": [*_shown(data, found[:most])]}


def _shown(data: DataSet, doubts: list[Doubt]) -> Iterator[dict[str, Any]]:
    for doubt in doubts:
        try:
            pictures = [data.picture(name) for name in (doubt.picture, *doubt.neighbours[:NEAREST])]
        except NotThere:  # a picture may have been left out since
            continue
        own, *near = map(shown_picture, pictures)
        yield {
            "picture": own,
            "suggested": doubt.suggested,
            "probability": doubt.probability,
            "label_probability": doubt.label_probability,
            "experiments": doubt.experiments,
            "neighbours": near,
        }
