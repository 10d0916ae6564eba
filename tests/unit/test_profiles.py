"""The profiles say the same of what is not about where jobs run."""

import pytest
import yaml
from checkout import CHECKOUT


def profile(name):
    return yaml.safe_load((CHECKOUT / f"profiles/{name}/config.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "key", ["rerun-triggers", "rerun-incomplete", "keep-going", "scheduler", "show-failed-logs"]
)
def test_what_is_repeated_and_shown_is_the_same_on_a_cluster(key):
    assert profile("slurm")[key] == profile("default")[key]


def test_no_limit_of_one_machine_holds_on_a_cluster():
    assert "resources" not in profile("slurm")
    assert "cores" not in profile("slurm")
