"""The challenge's answer file and ground truth as a ranking and a truth for any protocol."""

from collections.abc import Sequence
from pathlib import Path

from gallerist.challenge.answer_file import read_answers
from gallerist.challenge.truth import Truth
from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation import external_rankings
from gallerist.evaluation.judged_ranking import JudgedRanking, judge
from gallerist.evaluation.judged_truth import JudgedTruth, read_judged_truth
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, read_json
from gallerist.search.ranking import Ranking


def read_judged(ranking: PathLike, truth: Sequence[PathLike]) -> JudgedRanking:
    """Read a ranking of any form, answer files among them, and its truth of any form.

    Raises UserError naming the file.
    """
    if Path(ranking).suffix.lower() == ".json":
        answers = read_answers(ranking)
        listed = tuple(tuple(names) for names in answers.values())
        # An answer file has no distances: the rank stands for one.
        ranks = tuple(tuple(float(rank) for rank in range(1, len(each) + 1)) for each in listed)
        read = Ranking(tuple(answers), listed, ranks)
    else:
        read = external_rankings.read_ranking(ranking)
    judged = (
        of_challenge(Truth.read(truth[0]))
        if _is_of_challenge(truth)
        else read_judged_truth(truth, read.query_ids)
    )
    try:
        return judge(read, judged)
    except UserError as error:
        raise UserError(f"{ranking}: {error}") from error


def of_challenge(truth: Truth) -> JudgedTruth:
    """A ground truth of the challenge, by file names."""
    queries, gallery = (
        Manifest(
            tuple(Picture(name, name, label, part, name, 0, 0, "") for name, label in of.items())
        )
        for part, of in (("query", truth.query), ("gallery", truth.gallery))
    )
    return JudgedTruth.of(external_rankings.Truth(queries, truth.relevance, gallery))


def _is_of_challenge(paths: Sequence[PathLike]) -> bool:
    """Whether it is the JSON with classes of queries and gallery."""
    if len(paths) != 1 or Path(paths[0]).suffix.lower() != ".json":
        return False
    if not Path(paths[0]).is_file():  # also a pipe, which can be read once only
        raise UserError(f"{paths[0]} is no file: a truth as JSON is looked at before it is read")
    try:
        value = read_json(paths[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "query" in value
