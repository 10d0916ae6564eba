"""The same again elsewhere gives the same, and jobs side by side stay out of each other's way."""

from collections import Counter

import numpy as np
import pytest
from found_pictures import read_rows
from tiny_workflow import CONFIG, EXPERIMENT, Workflow, jobs_of


def test_the_same_configuration_gives_the_same_results_in_another_folder(
    finished_workflow, tmp_path
):
    """Equal: manifests, copies' content, hit rates, answers in their order. Vectors to 1e-5."""
    other = Workflow(tmp_path / "elsewhere")
    other.log_nothing()
    other.run("results/tiny/evaluation/short/metrics.json")
    one, two = finished_workflow.results, other.results
    for name in (
        *(f"manifests/{part}.csv" for part in ("originals", "training", "validation", "gallery")),
        "manifests/query.csv",
        "manifests/augmented.csv",
        "features/short/gallery.ids.csv",
        "evaluation/short/metrics.json",
        "evaluation/short/queries.csv",
        "evaluation/short/classes.csv",
    ):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name

    rankings = [read_rows(each / "rankings/short.csv") for each in (one, two)]
    names = [[(row["query_id"], row["gallery_id"]) for row in rows] for rows in rankings]
    assert names[0] == names[1]
    for part in ("gallery", "query"):
        vectors = [np.load(each / f"features/short/{part}.npy") for each in (one, two)]
        np.testing.assert_allclose(*vectors, atol=1e-5)
    histories = [read_rows(each / "models/short/history.csv") for each in (one, two)]
    for mine, theirs in zip(*histories, strict=True):
        for curve in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert float(mine[curve]) == pytest.approx(float(theirs[curve]), rel=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_jobs_side_by_side_on_a_fresh_store_all_end_well(tmp_path):
    names = ["one", "two", "three", "four", "five"]
    config = {
        **CONFIG,
        "experiments": {
            name: {**EXPERIMENT, "epochs": 1, "seed": seed} for seed, name in enumerate(names)
        },
    }
    workflow = Workflow(tmp_path / "gallerist", config)
    run = workflow.run("--cores", "8", "--max-threads", "1", "--resources", "gpu=8", timeout=1500)
    jobs = jobs_of(run)
    assert {f"train_network {name}" for name in names} <= jobs
    assert "Error" not in run.stdout

    stages = workflow.tracked_runs("tiny/stages")
    assert Counter(stage.info.run_name for stage in stages) == Counter(jobs)
    rows = workflow.tracked_runs("tiny")
    together = "one_and_4_more"  # they differ in their seed only
    assert Counter(row.info.run_name for row in rows) == Counter([*names, together])
    for each in [*stages, *rows]:
        assert each.info.status == "FINISHED"
        assert each.data.tags["current"] == "true"
        assert each.data.tags["gallerist.logged"] == "finished"
    experiments = Counter(each.name for each in workflow.tracking().search_experiments())
    assert experiments["tiny"] == experiments["tiny/stages"] == 1
    for log in (workflow.results / "logs").rglob("*.log"):
        assert "WARNING MLflow" not in log.read_text(encoding="utf-8"), log
