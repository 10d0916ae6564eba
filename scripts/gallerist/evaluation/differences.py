"""Which experiments really differ: every pair, by every metric, on the same queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gallerist.evaluation.bootstrap import Interval, difference_intervals
from gallerist.evaluation.scores import Assessment, Settings
from gallerist.evaluation.significance import PairOfExperiments, all_pairs
from gallerist.io.files import PathLike, write_csv

COLUMNS = (
    *("metric", "first", "second", "difference", "low", "high"),
    *("first_ahead", "second_ahead", "p", "p_adjusted", "different", "test"),
)


class OtherQueries(ValueError):
    """Experiments that were not judged on the same queries."""


@dataclass(frozen=True)
class Difference:
    """Two experiments by one metric.

    pair: the test, with its p-value before and after Holm's correction over all pairs by this
    metric. interval: of the mean difference, first minus second; None with a single original.
    different: the adjusted p-value is at most 1 - confidence.
    """

    metric: str
    pair: PairOfExperiments
    interval: Interval | None
    different: bool


def differences(judged: Mapping[str, Assessment], settings: Settings) -> list[Difference]:
    """Test every pair of experiments by every metric that all of them have.

    judged: experiment -> its values by query. Raises OtherQueries, naming two experiments, when
    they are not of the same queries in the same order.
    """
    experiments = list(judged)
    first = judged[experiments[0]]
    for name in experiments[1:]:
        if judged[name].queries != first.queries:
            raise OtherQueries(f"{experiments[0]} and {name} were not judged on the same queries")
    shared = [name for name in first.values if all(name in each.values for each in judged.values())]
    return [
        Difference(metric, pair, _interval(judged, metric, pair, settings), _real(pair, settings))
        for metric in shared
        for pair in all_pairs(
            {name: each.values[metric] for name, each in judged.items()},
            first.originals,
            seed=settings.seed,
        )
    ]


def better_than(found: Sequence[Difference], metric: str) -> dict[str, list[str]]:
    """Experiment -> those that it really surpasses by the metric that decides."""
    surpassed: dict[str, list[str]] = {}
    for each in found:
        if each.metric == metric and each.different:
            names = each.pair.first, each.pair.second
            better, worse = names if each.pair.test.difference > 0 else names[::-1]
            surpassed.setdefault(better, []).append(worse)
    return surpassed


def write_differences(path: PathLike, found: Sequence[Difference]) -> None:
    """Write a row a difference as CSV; first_ahead: originals on which the first is better."""
    write_csv(path, COLUMNS, map(_row, found))


def _row(each: Difference) -> tuple[object, ...]:
    test, interval = each.pair.test, each.interval
    ends = ("", "") if interval is None else (f"{interval.low:.4f}", f"{interval.high:.4f}")
    return (
        *(each.metric, each.pair.first, each.pair.second),
        *(f"{test.difference:.4f}", *ends, test.ahead, test.behind),
        *(f"{test.p_value:.3g}", f"{each.pair.adjusted:.3g}"),
        *("yes" if each.different else "no", test.method),
    )


def _interval(
    judged: Mapping[str, Assessment], metric: str, pair: PairOfExperiments, settings: Settings
) -> Interval | None:
    one, other = judged[pair.first], judged[pair.second]
    if len(set(one.originals)) < 2:
        return None
    return difference_intervals(
        {metric: one.values[metric]},
        {metric: other.values[metric]},
        one.originals,
        **settings.draws(),
    )[metric]


def _real(pair: PairOfExperiments, settings: Settings) -> bool:
    # Not against 1 - confidence, which is less than 0.1 for a confidence of 0.9.
    return pair.adjusted + settings.confidence <= 1
