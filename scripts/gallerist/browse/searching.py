"""Any picture searched by the experiments of a data set, as `gallerist search` does it."""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from gallerist.browse.data_sets import DataSet
from gallerist.data.manifest import Picture
from gallerist.io.errors import UserError
from gallerist.serving.pictures import Answer

if TYPE_CHECKING:
    from gallerist.serving.query import GallerySearch

MOST = 50
"""Answers that are asked for at a time."""

COMPUTING = Lock()
"""Networks are loaded and run one at a time: each uses all processors, and OpenVINO, which is
imported with the first one, cannot be imported by two threads at once."""


class Searching:
    """The experiments of one data set, each loaded with its first picture."""

    def __init__(self, data: DataSet) -> None:
        self._data = data
        self._ready: dict[str, GallerySearch] = {}

    def search(self, experiment: str, picture: Path, count: int) -> dict[str, Any]:
        """The first answers to a picture file, and its class where the data set has it.

        nothing: why none of them is to be believed, where the threshold says so.
        Raises `NotSearchable`, and UserError as `GallerySearch`.
        """
        with COMPUTING:
            label, answers = self._prepared(experiment).search(picture, min(count, MOST))
        return {
            "label": label,
            "answers": [shown_answer(answer) for answer in answers],
            "nothing": self._data.nothing(experiment, [answer.distance for answer in answers]),
        }

    def _prepared(self, experiment: str) -> "GallerySearch":
        from gallerist.serving.extractor import reading_of
        from gallerist.serving.query import GallerySearch  # what reads and describes pictures

        data = self._data
        data.require(experiment)
        if data.config is None:
            raise UserError(
                f"the configuration of {data.name} was not kept: run the workflow again"
            )
        if experiment not in self._ready:
            self._ready[experiment] = GallerySearch(
                data.results,
                experiment,
                data.settings,
                threads=os.cpu_count() or 1,
                **reading_of(data.config),
                known=data.known,
            )
        return self._ready[experiment]


def shown_picture(picture: Picture) -> dict[str, Any]:
    """What the page needs to know of a picture of the data set."""
    return {
        "id": picture.id,
        "name": Path(picture.path).name,
        "label": picture.label,
        "part": picture.part,
        "width": picture.width,
        "height": picture.height,
    }


def shown_answer(answer: Answer) -> dict[str, Any]:
    """The same of an answer, with its place."""
    return {
        **shown_picture(answer.picture),
        "rank": answer.rank,
        "distance": round(answer.distance, 6),
        "relevant": answer.relevant,
    }


def ranked_answers(
    data: DataSet, query: str, experiments: Sequence[str], count: int, skipped: int = 0
) -> dict[str, Any]:
    """A query of the data set with its answers by some experiments, as the workflow ranked them.

    nothing: experiment -> why its answers are not to be believed, where its threshold says so.
    """
    picture = data.query(query)
    relevance, gallery = data.relevance, data.gallery
    found, nothing = {}, {}
    for name in map(data.require, experiments):
        best = data.ranking(name).answers(query, count, skipped=skipped)
        if unknown := [answer for answer in best.ids if answer not in gallery]:
            raise UserError(
                f"the gallery has no picture {unknown[0]} any more: run the workflow again"
            )
        if not skipped and (reason := data.nothing(name, best.distances)):
            nothing[name] = reason
        ranks = range(best.first_rank, best.first_rank + len(best.ids))
        answers = zip(ranks, best.ids, best.distances, strict=True)
        found[name] = [
            shown_answer(Answer(rank, gallery[answer], distance, relevance.judge(query, answer)))
            for rank, answer, distance in answers
        ]
    return {
        "query": {**shown_picture(picture), "path": picture.path},
        "relevant": relevance.total(query),
        "answers": found,
        "nothing": nothing,
    }
