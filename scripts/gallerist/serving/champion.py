"""Whether a new model takes the place of the champion: by a paired test on the same data."""

from dataclasses import dataclass, replace

from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.scores import OtherQueries, Scores
from gallerist.evaluation.significance import find_differences

_ALL_THE_SAME = "To replace it all the same: --as-champion"


@dataclass(frozen=True)
class Candidate:
    """A registered model and what it reached.

    title: what to call it. gallery, query: digests of the pictures it was evaluated on.
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
    stays = f"{champion.title} stays champion:"
    for part in ("gallery", "query"):
        if getattr(challenger, part) != getattr(champion, part):
            reason = f"it was evaluated on another {part}, so that the two cannot be compared."
            return Decision(False, f"{stays} {reason} {_ALL_THE_SAME}")
    for each in (challenger, champion):
        if metric not in each.scores.values:
            return Decision(False, f"{stays} {each.title} was not evaluated by {metric}")
    first, second = (
        replace(each.scores, values={metric: each.scores.values[metric]})
        for each in (challenger, champion)
    )
    try:
        (found,) = find_differences({"challenger": first, "champion": second}, settings)
    except OtherQueries:
        reason = f"{challenger.title} was evaluated on other queries of the same data."
        return Decision(False, f"{stays} {reason} {_ALL_THE_SAME}")
    test = found.pair
    figures = (
        f"by {metric}, {test.difference:+.4f}, ahead on {test.ahead} pictures and behind on "
        f"{test.behind}, p = {test.p_value:.2g} ({test.method}), at {settings.confidence:.0%} "
        "confidence"
    )
    if found.different and test.difference > 0:
        reason = f"{challenger.title} is champion: better than {champion.title}"
        return Decision(True, f"{reason} {figures}")
    return Decision(False, f"{stays} {challenger.title} is not really better {figures}")
