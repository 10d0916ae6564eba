"""Which experiment is the best: by the mean over its seeds, and stood for by the first."""

import json

import pytest

from gallerist.serving.registry import best
from gallerist.workflow.results import Results


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        ({"hog": 0.6, "net-seed1": 0.5, "net-seed2": 0.9}, "net-seed1"),
        ({"hog": 0.8, "net-seed1": 0.5, "net-seed2": 0.9}, "hog"),
        ({"hog": 0.5, "net-seed1": 0.5, "net-seed2": 0.5}, "hog"),
    ],
)
def test_the_best_is_found_by_the_mean_over_seeds(tmp_path, reached, expected):
    results = Results(tmp_path)
    for name, mean in reached.items():
        file = tmp_path / f"evaluation/{name}/metrics.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"metrics": {"top-1": {"mean": mean}}}))
    network = {"network": "scratch", "image_size": 96}
    experiments = {
        "hog": {"descriptor": "hog"},
        "net-seed1": {**network, "seed": 1},
        "net-seed2": {**network, "seed": 2},
    }
    config = {"evaluation": {"decided_by": "top-1"}, "experiments": experiments}
    assert best(results, config) == expected
