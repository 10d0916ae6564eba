"""Curves of risk against coverage for the challenge, in a gallery that is full of distractors."""

from collections.abc import Collection, Mapping, Sequence

from gallerist.challenge.answer_file import file_names, name_answers
from gallerist.challenge.truth import Truth
from gallerist.data.manifest import Manifest
from gallerist.evaluation.abstaining import FirstAnswers
from gallerist.evaluation.risk_coverage import RiskCoverage, curve, write_curves
from gallerist.io.files import PathLike
from gallerist.search.ranking import Ranking


def write_risks(
    path: PathLike,
    rankings: Mapping[str, Ranking],
    queries: Manifest,
    gallery: Manifest,
    truth: Truth,
    share: float,
    by_distance: Collection[str],
) -> dict[str, RiskCoverage]:
    """Write the curve of every experiment as CSV; returns them. rankings: by experiment.

    share: of the pictures asked that show nothing of the gallery: queries whose class is taken out
    of it, so that distractors and other classes are left. by_distance: experiments whose answers'
    places depend on their own distances alone.
    """
    curves = {
        name: curve(first_answers(each, queries, gallery, truth, name in by_distance), share)
        for name, each in rankings.items()
    }
    write_curves(curves, path)
    return curves


def first_answers(
    ranking: Ranking, queries: Manifest, gallery: Manifest, truth: Truth, by_distance: bool
) -> FirstAnswers:
    """Those to the queries that the truth has. Raises UserError as `name_answers`."""
    answers: Mapping[str, Sequence[str]] = name_answers(ranking, queries, gallery)
    distances = dict(zip(ranking.query_ids, ranking.distances, strict=True))
    known = {
        name: distances.get(identifier, ())
        for identifier, name in file_names(queries, "query").items()
        if name in truth.query
    }
    named = Ranking(
        tuple(known), tuple(tuple(answers[name]) for name in known), tuple(known.values())
    )
    originals = {name: name for name in known}
    return FirstAnswers.of(named, truth.relevance, originals, by_distance=by_distance)
