"""An unlabelled challenge: ranked by every experiment, written for its server, graded."""

import json
import shutil

import pytest
from grading_server import GRADE, Server
from tiny_workflow import CONFIG, Workflow, jobs_of

EXPERIMENTS = {
    "hog": {"descriptor": "hog", "image_size": 64},
    "edges": {"descriptor": "edge_histogram", "image_size": 64},
    "by_rank": {"fusion": "ranks", "of": ["hog", "edges"]},
    "verified": {
        "fusion": "concatenation",
        "of": ["hog"],
        "geometric_verification": {"first": 5, "max_points": 50},
    },
}
CHALLENGE = {
    "embedded": {
        "gallery_per_class": 2,
        "query_per_class": 2,
        "distractors": 20,
        "image_size": 64,
    },
    "group": "the group",
    "distractor_step": 10,
}
SUBMISSIONS = {"write_submissions"}
TREE_PARTS = ("originals", "gallery", "query")
EVALUATED = {f"evaluate_retrieval {name}" for name in EXPERIMENTS} | {"compare_experiments"}
ABSTAINING = {"risk": 0.45, "absent": 0}
"""So that the six held-out pictures can promise something."""


@pytest.fixture(scope="module")
def challenged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("challenged") / "gallerist"
    config = {**CONFIG, "experiments": EXPERIMENTS, "challenge": CHALLENGE}
    config["evaluation"] = {**CONFIG["evaluation"], "abstaining": ABSTAINING}
    workflow = Workflow(folder, {**config, "search": {"depth": None}})
    workflow.log_nothing()
    workflow.first_run = workflow.run()
    return workflow


@pytest.fixture
def workflow(challenged, tmp_path):
    return challenged.copy(tmp_path / "gallerist")


def submission(workflow, experiment):
    path = workflow.results / f"challenge/submissions/{experiment}/results.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_submission_has_the_published_form_and_no_problem(challenged, experiment):
    value = submission(challenged, experiment)
    source = challenged.results / "challenge/source"
    assert value["groupname"] == "the group"
    assert set(value["images"]) == {path.name for path in (source / "query").iterdir()}
    gallery = {path.name for path in (source / "gallery").iterdir()}
    assert len(gallery) == 10 * 2 + 20
    for answers in value["images"].values():
        assert len(answers) == len(set(answers)) == 10
        assert set(answers) <= gallery
    folders = ("--gallery", source / "gallery", "--query", source / "query")
    path = challenged.results / f"challenge/submissions/{experiment}/results.json"
    assert challenged.gallerist("lint", path, *folders).stdout.strip() == "no problem"


def test_a_submission_is_the_ranking_by_name(challenged):
    names = {
        part: {
            row["id"]: row["path"].rsplit("/", 1)[1]
            for row in challenged.rows(f"manifests/challenge_{part}.csv")
        }
        for part in ("gallery", "query")
    }
    ranked = {}
    for row in challenged.rows("rankings/challenge/hog.csv"):
        ranked.setdefault(names["query"][row["query_id"]], []).append(row)
    for query, answers in submission(challenged, "hog")["images"].items():
        best = sorted(ranked[query], key=lambda row: int(row["rank"]))[:10]
        assert answers == [names["gallery"][row["gallery_id"]] for row in best]


def test_the_grades_are_those_of_the_truth(challenged):
    truth = json.loads((challenged.results / "challenge/truth.json").read_text("utf-8"))
    grades = challenged.rows("challenge/grades.csv")
    for experiment in EXPERIMENTS:
        answers = submission(challenged, experiment)["images"]
        for k in (1, 5, 10):
            hits = [
                truth["query"][query] in {truth["gallery"][name] for name in found[:k]}
                for query, found in answers.items()
            ]
            (row,) = [
                row
                for row in grades
                if (row["experiment"], row["domain"], row["metric"])
                == (experiment, "all", f"hit rate@{k}")
            ]
            assert float(row["mean"]) == pytest.approx(sum(hits) / len(hits), abs=5e-5)
    assert {row["domain"] for row in grades} == {"all", "photo", "sketch"}


def test_the_risk_of_the_challenge_at_full_coverage_is_what_the_grades_miss(challenged):
    grades = {
        row["experiment"]: float(row["mean"])
        for row in challenged.rows("challenge/grades.csv")
        if (row["domain"], row["metric"]) == ("all", "hit rate@1")
    }
    found = {row["experiment"]: row for row in challenged.rows("challenge/risk_coverage.csv")}
    assert {*found} == {*EXPERIMENTS}
    for experiment, last in found.items():
        assert float(last["coverage"]) == 1
        assert float(last["risk"]) == pytest.approx(1 - grades[experiment], abs=5e-5)
    assert (challenged.results / "challenge/risk_coverage.png").is_file()


def test_the_fault_makes_a_random_ranker_look_good(challenged):
    study = challenged.rows("challenge/key_fault.csv")
    assert {row["ranker"] for row in study} >= {*EXPERIMENTS, "random"}
    at_ten = {row["ranker"]: row for row in study if row["k"] == "10"}
    random = at_ten["random"]
    # Half of this gallery is confusion images: an answer file that is filed under their names.
    assert float(random["fault_expected"]) > 0.5


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("challenge.group", "another group", SUBMISSIONS),
        ("challenge.k", 5, SUBMISSIONS),
        ("challenge.distractor_step", 5, {"grade_challenge"}),
        ("evaluation.k", [1, 2], EVALUATED),
        ("evaluation.abstaining.risk", 0.5, EVALUATED),
    ],
)
def test_an_edit_repeats_what_it_changes(workflow, key, value, expected):
    workflow.edit_config(key, value)
    assert workflow.dry_run() == expected


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_threshold_is_fitted_on_held_out_pictures_in_the_gallery(challenged, experiment):
    label = {
        row["id"]: row["label"]
        for part in ("gallery", "validation")
        for row in challenged.rows(f"manifests/{part}.csv")
    }
    ranking = "verified.verified" if experiment == "verified" else experiment
    nearest = {}
    for row in challenged.rows(f"rankings/validation/{ranking}.csv"):
        if row["rank"] == "1":
            right = label[row["query_id"]] == label[row["gallery_id"]]
            nearest[row["query_id"]] = float(row["distance"]), right
    assert len(nearest) == 6
    found = json.loads((challenged.results / f"evaluation/{experiment}/metrics.json").read_text())
    threshold = found["abstaining"]
    assert threshold["fitted_on"] == 6
    # Of six answers none may be wrong: .55 to the power of 5 is more than .05.
    wrong = [distance for distance, right in nearest.values() if not right]
    assert threshold["promised"] == (not wrong)
    if not wrong:
        assert threshold["distance_below"] is None
        queries = threshold["queries"]
        assert queries["coverage"] == 1
        assert queries["risk"] == pytest.approx(1 - found["metrics"]["top-1"]["mean"])
    rows = challenged.rows(f"evaluation/{experiment}/risk_coverage.csv")
    assert float(rows[-1]["coverage"]) == 1
    assert (challenged.results / f"evaluation/{experiment}/risk_coverage.png").is_file()


def test_a_folder_of_ones_own_without_a_truth_is_submitted_and_not_graded(workflow):
    """A query that is a copy of another gets its own answers; a bad file is named, not fatal."""
    folder = workflow.folder / "mine"
    shutil.copytree(workflow.results / "challenge/source", folder)
    first = sorted((folder / "query").iterdir())[0]
    shutil.copy(first, folder / "query/copy.png")
    (folder / "query/broken.png").write_bytes(b"no picture")
    workflow.edit_config("challenge", {"folder": "mine"})
    assert workflow.dry_run() >= SUBMISSIONS
    assert "grade_challenge" not in workflow.dry_run("--forceall")
    done = workflow.rerun("results/tiny/challenge/submissions/hog/results.json")
    assert {f"import_images challenge_{part}" for part in ("gallery", "query")} <= done
    assert done >= SUBMISSIONS
    images = submission(workflow, "hog")["images"]
    assert images["copy.png"] == images[first.name]
    assert "broken.png" not in images
    log = (workflow.results / "logs/write_submissions.log").read_text(encoding="utf-8")
    assert "broken.png" in log
    faults = workflow.rows("reports/faults/challenge_query.csv")
    assert {row["path"].rsplit("/", 1)[1] for row in faults} == {"copy.png", "broken.png"}


@pytest.mark.slow
def test_only_who_asks_sends_answers_and_their_grade_is_tracked(workflow):
    """Neither a new address nor writing the answers again sends any."""
    server = Server()
    try:
        workflow.edit_config("challenge.submit_to", server.url)
        assert workflow.dry_run() == set()
        path = "results/tiny/challenge/submissions/hog/results.json"
        assert workflow.rerun(path, "--forcerun", "write_submissions") == SUBMISSIONS
        assert server.requests == []
        workflow.log_again()
        said = workflow.gallerist("submit", "--experiment", "hog").stdout
        assert json.loads(said.splitlines()[-1]) == GRADE
        workflow.gallerist("sync")  # a busy machine's MLflow may have been too slow for it
        workflow.log_nothing()
        assert workflow.rerun(path, "--forcerun", "write_submissions") == SUBMISSIONS
        assert server.graded == [submission(workflow, "hog")]
    finally:
        server.stop()
    (run,) = workflow.tracked_runs("tiny/stages", "tags.`gallerist.stage` = 'submit'")
    assert (run.info.status, run.data.tags["gallerist.experiment"]) == ("FINISHED", "hog")
    assert run.data.metrics["server/top1"] == GRADE["top1"]


def test_parts_that_are_drawn_are_imported_by_one_job_and_those_of_the_user_apart(workflow):
    workflow.edit_config("challenge.embedded.distractors", 19)
    assert {job for job in workflow.dry_run() if "import" in job} == {"import_images challenge"}
    embedded = {"training_per_class": 4, "gallery_per_class": 2, "query_per_class": 1}
    workflow.edit_config("dataset", {"name": "tiny", "embedded": embedded})
    shutil.copytree(workflow.results / "challenge/source", workflow.folder / "mine")
    workflow.edit_config("challenge", {"folder": "mine"})
    parts = {f"import_images challenge_{part}" for part in ("gallery", "query")}
    assert {job for job in workflow.dry_run() if "import" in job} == {
        "import_images source",
        *parts,
    }
    # What was imported apart before is not held against what is imported together now.
    record = "results/tiny/manifests/source.record.json"
    assert workflow.rerun(record) == {"import_images source"}
    assert {len(workflow.rows(f"manifests/{part}.csv")) for part in TREE_PARTS} == {40, 20, 10}
    names = {path.name for path in workflow.results.glob("manifests/*.record.json")}
    assert "source.record.json" in names
    assert not {f"{part}.record.json" for part in TREE_PARTS} & names


def test_nothing_of_a_challenge_is_done_without_one(workflow):
    workflow.remove_config("challenge")
    assert not any("challenge" in job for job in workflow.dry_run("--forceall"))


def test_the_first_run_did_every_job_of_the_challenge(challenged):
    done = jobs_of(challenged.first_run)
    assert done >= SUBMISSIONS | {"grade_challenge", "verify_geometry verified"}
    imports = {job for job in done if job.startswith("import_")}
    assert imports == {"import_images challenge", *(f"import_images {part}" for part in TREE_PARTS)}
    assert "fuse_rankings by_rank" in done
