"""What every run tells of its machine and its origin, read through MLflow; an exchanged model."""

import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image
from tiny_workflow import CONFIG

from gallerist.config.completion import complete
from gallerist.io.files import read_json, sha256_of_file

CURVES = {
    "system/cpu_utilization_percentage",
    "system/system_memory_usage_megabytes",
    "system/system_memory_usage_percentage",
    "system/process_cores_used",
    "system/process_memory_megabytes",
}


def test_trainings_have_system_metrics(finished_workflow):
    """An extraction of so few pictures is over before the first sample."""
    client = finished_workflow.tracking()
    runs = finished_workflow.tracked_runs("tiny/stages", "tags.`gallerist.stage` = 'train_network'")
    assert len(runs) >= 2
    for run in runs:
        assert set(run.data.metrics) >= CURVES
        for name in CURVES:
            points = client.get_metric_history(run.info.run_id, name)
            steps = [point.step for point in points]
            assert steps == sorted(set(steps))
            times = [point.timestamp for point in points]
            assert times == sorted(times)
            assert run.info.start_time <= times[0]
            # One that only the record brought is known by its second, which is rounded.
            assert times[-1] <= run.info.end_time + 500
        # TensorFlow takes more.
        assert run.data.metrics["system/process_memory_megabytes"] > 100


def test_the_record_has_the_points_that_mlflow_shows(finished_workflow):
    client = finished_workflow.tracking()
    (run,) = finished_workflow.tracked_runs(
        "tiny/stages",
        "tags.`gallerist.stage` = 'train_network' and tags.`gallerist.experiment` = 'long'",
    )
    record = read_json(finished_workflow.results / "models/long/training.record.json")
    assert set(record["machine_use"]) >= CURVES
    for name, points in record["machine_use"].items():
        shown = client.get_metric_history(run.info.run_id, name)
        assert [[point.step, point.value] for point in shown] == points


def test_a_row_has_the_configuration_as_it_was_used_and_the_rules(finished_workflow, tmp_path):
    client = finished_workflow.tracking()
    for row in finished_workflow.tracked_runs("tiny"):
        fetched = client.download_artifacts(row.info.run_id, "config.yaml", str(tmp_path))
        with open(fetched, encoding="utf-8") as file:  # noqa: PTH123
            kept = yaml.safe_load(file)
        # `pictures` is looked up from the folder of the workflow.
        assert kept["experiments"].keys() == CONFIG["experiments"].keys()
        assert kept["search"]["depth"] == CONFIG["search"]["depth"]
        assert kept["evaluation"]["bootstrap_rounds"] == 1000
        with Image.open(
            client.download_artifacts(row.info.run_id, "workflow.png", str(tmp_path))
        ) as picture:
            picture.load()
            assert min(picture.size) > 300


def test_the_configuration_of_a_row_can_be_run_again(workflow, monkeypatch):
    """Nothing is to be done with it: it is the configuration that the results are of."""
    (kept,) = workflow.results.glob("origin/*/config.yaml")
    monkeypatch.chdir(workflow.folder)
    assert complete(yaml.safe_load(kept.read_text())) == yaml.safe_load(kept.read_text())
    assert workflow.dry_run("--configfile", str(kept)) == set()


def test_another_experiment_draws_no_evaluation_again(workflow):
    workflow.edit_config("experiments.third", {**CONFIG["experiments"]["short"], "seed": 5})
    evaluated = {job for job in workflow.dry_run() if job.startswith("evaluate_retrieval")}
    assert evaluated == {"evaluate_retrieval third"}


@pytest.mark.slow
def test_an_exchanged_model_is_refused_by_name_before_it_is_opened(workflow):
    model = workflow.results / "models/long/model.keras"
    record = read_json(workflow.results / "models/long/training.record.json")
    made = {Path(name).name: digest for name, digest in record["made"].items()}
    for file in (model, model.with_suffix(".json")):
        assert made[file.name] == sha256_of_file(file)
    similarity = "results/tiny/evaluation/long/similarity.png"
    workflow.edit_config("evaluation.explanations", ["similarity"])
    assert workflow.rerun(similarity) == {"explain_experiment long"}
    shutil.copy(workflow.results / "models/short/model.keras", model)  # a whole, loadable model
    for rule, target in (
        ("extract_features", "results/tiny/features/long/query.npy"),
        ("explain_experiment", similarity),
    ):
        # The second takes what the first makes.
        result = workflow.run("--allowed-rules", rule, "--", target, check=False)
        job = f"{rule} long"
        assert result.returncode != 0
        assert (
            f"{job} failed: results/tiny/models/long/model.keras is not the file that its job "
            "made, says results/tiny/models/long/training.record.json" in result.stdout
        )
