"""Intervals over queries and seeds: simulated coverage, and the level of the test between two."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from benchmarks.tables import Cell, Table
from gallerist.evaluation.bootstrap import Estimate, IntervalSettings, mean_intervals
from gallerist.evaluation.seeds import seed_variance, two_way_p_value, widened
from gallerist.io.arrays import Floats

SHARED = 0.5
"""Of the queries' effects, what two experiments have in common: a hard query is hard for both."""

PIGEONHOLE_ROUNDS = 400


@dataclass(frozen=True)
class World:
    """What figures are drawn from: effects of queries, of seeds, and of each query with each seed.

    hits: values are 0 or 1, else continuous in (0, 1). mean: the truth. seeds: how many. share:
    variance of the mean by seeds, divided by that by queries. interaction: variance of a query with
    a seed, divided by that of queries. Effects are normal, in probits.
    """

    hits: bool
    mean: float
    seeds: int
    share: float
    interaction: float = 1.0
    queries: int = 100

    @property
    def name(self) -> str:
        """What it simulates."""
        return f"{'top-1' if self.hits else 'AP'} {self.mean}, {self.queries} queries"

    def draw(self, generator: np.random.Generator, replications: int) -> Floats:
        """(replications, 2, seeds, queries) values of two experiments of the same truth."""
        shape = (replications, 2, self.seeds, self.queries)
        # Seeds' variance by the wanted share of the mean's; of hits, on the scale of values.
        spread = 1.0 if self.hits else 0.6
        parts = np.array([1.0, self._seed_part(), self.interaction])
        of_query, of_seed, rest = spread * np.sqrt(parts / parts.sum())
        common = generator.normal(size=(replications, 1, 1, self.queries))
        own = generator.normal(size=(replications, 2, 1, self.queries))
        latent = of_query * (np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own)
        latent = latent + of_seed * generator.normal(size=(replications, 2, self.seeds, 1))
        latent = latent + rest * generator.normal(size=shape)
        if self.hits:
            return np.asarray(latent < ndtri(self.mean), dtype=np.float64)
        return np.asarray(ndtr(latent + ndtri(self.mean) * np.sqrt(1 + spread**2)))

    def _seed_part(self) -> float:
        # Values are more than their effects of queries: half of the variance of hits is chance.
        scale = self.seeds / self.queries * (1 + self.interaction / self.seeds)
        return self.share * scale * (1.5 if self.hits else 1.0)


def worlds(*, quick: bool = False) -> list[World]:
    """What is simulated."""
    kinds = [(True, 0.55), (True, 0.85), (False, 0.45)]
    found = [
        World(hits, mean, seeds, share)
        for seeds in (3, 5)
        for hits, mean in kinds
        for share in (0.0, 0.3, 1.0, 3.0)
    ]
    return found[:2] if quick else found


def measure(rounds: int, *, quick: bool = False) -> Table:
    """Every world; rounds: simulations of each."""
    del rounds
    replications = 100 if quick else 2000
    rows = tuple(
        simulated(world, replications, seed=n) for n, world in enumerate(worlds(quick=quick))
    )
    return Table("seeds", "Intervals over queries and seeds, simulated", rows, (
        f"{replications} simulations of each; confidence 95 %, so that a covered share between .94 "
        "and .96 is chance",
    ))  # fmt: skip


def simulated(world: World, replications: int, seed: int) -> dict[str, Cell]:
    """Coverage of the intervals of a mean; how often a test calls two equal ones different."""
    generator = np.random.default_rng(seed)
    drawn = world.draw(generator, replications)
    groups = np.arange(world.queries)
    settings = IntervalSettings(seed, 1000)
    first = drawn[:, 0]
    alone = mean_intervals(
        {str(n): each.mean(axis=0) for n, each in enumerate(first)}, groups, settings
    )
    parts = [seed_variance([*each], groups) for each in first]
    both = [widened(each, [part], 0.95) for each, part in zip(alone.values(), parts, strict=True)]
    others = [seed_variance([*each], groups) for each in drawn[:, 1]]
    p_values, against_fixed = [], []
    fixed = replace(world, seeds=1, share=0.0).draw(generator, replications)[:, 1, 0]
    for n in range(replications):
        difference = first[n].mean(axis=0) - drawn[n, 1].mean(axis=0)
        p_values.append(two_way_p_value(difference, groups, [parts[n], others[n]]))
        difference = first[n].mean(axis=0) - fixed[n]
        against_fixed.append(two_way_p_value(difference, groups, [parts[n]]))
    means = first.mean(axis=2)
    return {
        "values": world.name,
        "seeds": world.seeds,
        "variance by seeds / queries": _share(first, means),
        "covered": _covered(both, world.mean),
        "by queries alone": _covered(list(alone.values()), world.mean),
        "by the pigeonhole bootstrap": _covered(_pigeonhole(first, generator), world.mean),
        "level": float(np.mean(np.array(p_values) <= 0.05)),
        "level, against one untrained": float(np.mean(np.array(against_fixed) <= 0.05)),
    }


def _share(values: Floats, means: Floats) -> float:
    """What the seeds add to the variance of the mean over what queries do, as drawn."""
    total = values.mean(axis=(1, 2)).var()
    by_query = (values.mean(axis=1).var(axis=1, ddof=1) / values.shape[2]).mean()
    return float(round(max(total / by_query - 1, 0.0), 2))


def _pigeonhole(values: Floats, generator: np.random.Generator) -> list[Estimate]:
    """Percentile intervals of means whose queries and seeds are both drawn anew (Owen, 2007).

    values: (replications, seeds, queries).
    """
    _, seeds, queries = values.shape
    found = []
    for each in values:
        of_queries = generator.multinomial(
            queries, np.full(queries, 1 / queries), PIGEONHOLE_ROUNDS
        )
        of_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), PIGEONHOLE_ROUNDS)
        means = ((of_queries @ each.T) * of_seeds).sum(axis=1) / (queries * seeds)
        low, high = np.quantile(means, [0.025, 0.975])
        found.append(Estimate(float(each.mean()), float(low), float(high)))
    return found


def _covered(intervals: list[Estimate], truth: float) -> float:
    inside = [each.low <= truth <= each.high for each in intervals if each.low is not None]
    return float(np.mean(inside))
