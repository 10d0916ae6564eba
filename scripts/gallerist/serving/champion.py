"""Whether a new model takes the place of the champion: by a paired test on the same data."""

from dataclasses import dataclass, replace

from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.scores import Scores
from gallerist.evaluation.significance import Difference, OtherQueries, find_differences


@dataclass(frozen=True)
class Candidate:
    """A registered model and what it reached.

    title: what to call it. gallery, query: digests of the pictures it was judged on.
    scores: its values by query.
    """

    title: str
    gallery: str
    query: str
    scores: Scores


@dataclass(frozen=True)
class Decision:
    """Whether the alias moves to the challenger, and why, in a sentence."""

    moves: bool
    reason: str


def decide(
    challenger: Candidate, champion: Candidate | None, metric: str, settings: IntervalSettings
) -> Decision:
    """Let a challenger be champion where it is really better, or where there is none.

    metric: the one that decides. settings: its confidence is that of the test, which is
    `significance.find_differences` on the two alone; the more rounds, the less the seed matters.
    """
    if champion is None:
        return Decision(True, f"{challenger.title} is champion: there was none")
    for part in ("gallery", "query"):
        if getattr(challenger, part) != getattr(champion, part):
            return Decision(
                False,
                f"{champion.title} stays champion: it was judged on another {part}, "
                "so that the two cannot be compared. To replace it all the same: --crown",
            )
    for each in (challenger, champion):
        if metric not in each.scores.values:
            return Decision(
                False, f"{champion.title} stays champion: {each.title} was not judged by {metric}"
            )
    try:
        (found,) = find_differences(
            {
                side: _only(metric, each.scores)
                for side, each in (("challenger", challenger), ("champion", champion))
            },
            settings,
        )
    except OtherQueries:
        return Decision(
            False,
            f"{champion.title} stays champion: {challenger.title} was judged on other queries of "
            "the same data. To replace it all the same: --crown",
        )
    better = found.different and found.pair.difference > 0
    figures = _figures(found, settings)
    if better:
        return Decision(
            True,
            f"{challenger.title} is champion: better than {champion.title} by {metric}, {figures}",
        )
    return Decision(
        False,
        f"{champion.title} stays champion: {challenger.title} is not really better by {metric}, "
        f"{figures}",
    )


def _only(metric: str, scores: Scores) -> Scores:
    return replace(scores, values={metric: scores.values[metric]})


def _figures(found: Difference, settings: IntervalSettings) -> str:
    test = found.pair
    return (
        f"{test.difference:+.4f}, ahead on {test.ahead} pictures and behind on {test.behind}, "
        f"p = {test.p_value:.2g} ({test.method}), at {settings.confidence:.0%} confidence"
    )
