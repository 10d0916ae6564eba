"""Rankings of several experiments merged into one."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from gallerist.io.errors import UserError
from gallerist.search.ranking import Ranking


def fuse_rankings(rankings: Sequence[Ranking], depth: int, constant: float = 60) -> Ranking:
    """Merge rankings of the same queries by reciprocal rank; keep `depth` answers a query.

    A gallery picture scores the sum, over the rankings that list it, of 1 / (constant + rank), rank
    from 1 (Cormack, Clarke and Buettcher, Reciprocal rank fusion outperforms Condorcet and
    individual rank learning methods, 2009, where constant is 60). Rankings deeper than `depth` give
    better sums. Equal scores are ordered by gallery id.

    The distances of the result are 1 - score / greatest possible score, in [0, 1): 0 for a picture
    that is first in every ranking. They compare across queries, but not with Euclidean distances.
    Queries come in the order of the first ranking.

    Raises UserError when the rankings do not answer the same queries, there is none, depth is
    below 1, or constant negative.
    """
    if not rankings:
        raise UserError("there is no ranking to fuse")
    if depth < 1 or not (math.isfinite(constant) and constant >= 0):
        raise UserError(
            f"depth is {depth} and constant {constant}; they are at least 1 and at least 0"
        )
    _check_queries(rankings)
    answers_of = [dict(zip(each.query_ids, each.answers, strict=True)) for each in rankings]
    best = math.fsum([1 / (constant + 1)] * len(rankings))
    answers, distances = [], []
    for query in rankings[0].query_ids:
        terms: defaultdict[str, list[float]] = defaultdict(list)
        for answers_to in answers_of:
            for rank, gallery_id in enumerate(answers_to[query], start=1):
                terms[gallery_id].append(1 / (constant + rank))
        # fsum, because equal ranks in another order of the rankings must give an equal sum.
        scores = {gallery_id: math.fsum(found) for gallery_id, found in terms.items()}
        order = sorted(scores, key=lambda gallery_id: (-scores[gallery_id], gallery_id))[:depth]
        answers.append(tuple(order))
        distances.append(tuple(1 - scores[gallery_id] / best for gallery_id in order))
    return Ranking(rankings[0].query_ids, tuple(answers), tuple(distances))


def _check_queries(rankings: Sequence[Ranking]) -> None:
    expected = Counter(rankings[0].query_ids)
    for number, ranking in enumerate(rankings[1:], start=2):
        asked = Counter(ranking.query_ids)
        if asked != expected:
            differing = min((asked - expected) | (expected - asked))
            raise UserError(
                f"ranking {number} answers {len(ranking.query_ids)} queries, the first "
                f"{len(rankings[0].query_ids)}, and they are not the same ({differing} is in one "
                "only): rank the same queries with every member"
            )
