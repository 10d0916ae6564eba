"""Descriptors, key points, fusions and better rankings, in a real run without any network."""

import json
import subprocess
import sys

import numpy as np
import pytest
from benchmarks.equality import compare
from edits import dry_runs
from sklearn.neighbors import NearestNeighbors
from tiny_workflow import CHECKOUT, CONFIG, Workflow, draw_picture, jobs_of

from gallerist.config.completion import read
from gallerist.data.manifest import Manifest
from gallerist.search.ranking import Ranking
from gallerist.serving.gallery import SearchableGallery
from gallerist.serving.package import pack
from gallerist.workflow.experiments import NotSearchable, refusal
from gallerist.workflow.results import Results

SIFT = {"descriptor": "sift", "words": 4, "max_points": 60}
EXPERIMENTS = {
    "colour": {"descriptor": "colour_histogram", "bins": 4},
    "hog": {"descriptor": "hog", "image_size": 64},
    "sift": SIFT,
    "reduced": {
        "descriptor": "gabor",
        "image_size": 64,
        "reduction": {"method": "pca_whitening", "dimensions": 3},
    },
    "learned": {"fusion": "weighted", "of": ["colour", "sift"]},
    "joined": {"fusion": "concatenation", "of": ["colour", "sift"]},
    "expanded": {
        "fusion": "concatenation",
        "of": ["hog"],
        "search": {"query_expansion": {"neighbours": 2}, "database_augmentation": {}},
    },
    "indexed": {"fusion": "concatenation", "of": ["hog"], "search": {"index": "HNSW8"}},
    "reranked": {
        "fusion": "concatenation",
        "of": ["hog"],
        "k_reciprocal": {"k1": 3, "k2": 1},
        "geometric_verification": {"first": 4},
    },
    "by_rank": {"fusion": "ranks", "of": ["colour", "hog"]},
}
PARTS = ("gallery", "query")
OF_HOG = ("expanded", "indexed", "reranked")
OF_SIFT = ("learned", "joined")


def evaluation(*experiments):
    return {f"evaluate_retrieval {name}" for name in experiments} | {"compare_experiments"}


def searched(*experiments):
    return {f"search_gallery {name}" for name in experiments} | evaluation(*experiments)


RERANKED = {"rerank_reciprocally reranked", "verify_geometry reranked"}
BY_RANK = {"fuse_rankings by_rank"} | evaluation("by_rank")
AFTER_HOG = (
    searched("hog", "expanded", "indexed")
    | RERANKED
    | evaluation("reranked")
    | {f"fuse_features {name}" for name in OF_HOG}
    | BY_RANK
)
AFTER_SIFT = searched("sift", *OF_SIFT) | {f"fuse_features {name}" for name in OF_SIFT}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "gallerist"
    workflow = Workflow(folder, {**CONFIG, "experiments": EXPERIMENTS})
    workflow.log_nothing()
    workflow.first_run = workflow.run()
    workflow.log_again()
    workflow.gallerist("summary")
    return workflow


@pytest.fixture
def workflow(finished, tmp_path):
    return finished.copy(tmp_path / "gallerist")


def test_every_experiment_has_a_line_of_the_comparison_and_no_network_is_trained(finished):
    table = finished.rows("comparison/comparison.csv")
    assert [line["experiment"] for line in table] == list(EXPERIMENTS)
    assert {line["weights"] for line in table} == {"none"}
    assert all(0 <= float(line["top-1"]) <= 1 for line in table)
    lengths = {line["experiment"]: float(line["feature length"]) for line in table}
    assert lengths["reduced"] == 3
    assert lengths["learned"] <= lengths["colour"] + lengths["sift"]
    assert lengths["by_rank"] == 0
    assert not any(job.startswith("train_network") for job in jobs_of(finished.first_run))


@pytest.mark.slow
def test_one_process_without_snakemake_leaves_the_same(finished, tmp_path):
    (tmp_path / "pictures").symlink_to(finished.folder / "pictures")
    config = finished.folder / "config/config.yaml"
    command = [sys.executable, "-m", "benchmarks.plain", "--folder", tmp_path, "--config", config]
    subprocess.run(command, check=True, cwd=CHECKOUT)
    results = finished.folder / "results/tiny"
    equal, different = compare(results, tmp_path / "results/tiny")
    assert equal[".npy"] == len([*results.rglob("*.npy")]) > 0
    # Records are not compared, nor segments of stores, whose names hold times, nor who held it.
    others = ("record.json", "store/", ".snakemake_timestamp", ".workflow.")
    assert not [line for line in different if not any(each in line for each in others)]


def test_the_colours_of_the_classes_are_told_apart(finished):
    """Red discs, green stripes, blue chequers: a colour histogram makes no mistake."""
    (line,) = [
        line
        for line in finished.rows("comparison/comparison.csv")
        if line["experiment"] == "colour"
    ]
    assert float(line["top-1"]) == 1


def test_the_search_is_that_of_scikit_learn(finished):
    folder = finished.results / "features/hog"
    gallery, queries = (np.load(folder / f"{part}.npy").astype(float) for part in PARTS)
    ids = [row["id"] for row in finished.rows("features/hog/gallery.ids.csv")]
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute", metric="cosine").fit(gallery)
    distances, found = nearest.kneighbors(queries)
    first = [row for row in finished.rows("rankings/hog.csv") if row["rank"] == "1"]
    assert [row["gallery_id"] for row in first] == [ids[row] for row in found[:, 0]]
    stated = [float(row["distance"]) for row in first]
    np.testing.assert_allclose(stated, distances[:, 0], atol=1e-6)


def test_an_index_is_measured_against_the_exact_search(finished):
    record = json.loads((finished.results / "rankings/indexed.record.json").read_text("utf-8"))
    assert record["metrics"]["recall-1"] == 1  # nine pictures: a graph of 8 finds all
    assert record["metrics"]["index_bytes"] > 0
    (file,) = record["tags"]["indexes"].split()
    assert (finished.folder / file).stat().st_size == record["metrics"]["index_bytes"]
    told = {
        row["experiment"]: row["index recall"] for row in finished.rows("comparison/comparison.csv")
    }
    assert (float(told["indexed"]), told["hog"]) == (1, "")


def test_another_depth_needs_no_other_index(finished, tmp_path):
    """And the one of other settings is collected."""
    workflow = finished.copy(tmp_path / "gallerist")
    (index,) = (workflow.results / "store/indexes/indexed").glob("*.faiss")
    before = index.stat().st_mtime_ns
    ranking = "results/tiny/rankings/indexed.csv"
    workflow.edit_config("search.depth", 8)
    workflow.run(ranking)
    assert index.stat().st_mtime_ns == before
    workflow.edit_config("experiments.indexed.search.index", "HNSW16")
    workflow.run(ranking)
    assert index.exists()
    workflow.gallerist("collect", "--yes")
    (other,) = (workflow.results / "store/indexes/indexed").glob("*.faiss")
    assert other != index
    assert not index.with_suffix(".json").exists()


def test_the_weights_of_a_fusion_come_from_validation_and_are_logged(finished):
    weights = json.loads((finished.results / "features/learned/weights.json").read_text("utf-8"))
    assert sum(weights.values()) == pytest.approx(1)
    (row,) = finished.tracked_runs("tiny", "tags.`gallerist.experiment` = 'learned'")
    assert float(row.data.params["fuse_features.weight.colour"]) == weights["colour"]
    assert row.data.params["describe_images.colour.bins"] == "4"


def test_every_pair_of_experiments_is_tested(finished):
    found = finished.rows("comparison/differences.csv")
    pairs = {(row["first"], row["second"]) for row in found if row["metric"] == "top-1"}
    assert len(pairs) == len(EXPERIMENTS) * (len(EXPERIMENTS) - 1) // 2


def set_key(key, value):
    return lambda workflow: workflow.edit_config(key, value)


def change_code(name):
    def change(workflow):
        file = workflow.folder / f"scripts/gallerist/{name}.py"
        file.write_text(file.read_text() + "\nADDED = 1\n")

    return change


def replace_a_training_picture(workflow):
    draw_picture(workflow.folder / "pictures/training/discs/discs_0.jpg", "discs", 1003)


EDITS = {
    "a descriptor's bins": (
        set_key("experiments.colour.bins", 5),
        {"describe_images colour"}
        | searched("colour", "learned", "joined")
        | {"fuse_features learned", "fuse_features joined"}
        | BY_RANK,
    ),
    "a descriptor's cells": (
        set_key("experiments.hog.cells", 4),
        {"describe_images hog"} | AFTER_HOG,
    ),
    "the visual words": (
        set_key("experiments.sift.words", 5),
        {"learn_vocabulary sift", "encode_key_points sift"} | AFTER_SIFT,
    ),
    "the dimensions left": (
        set_key("experiments.reduced.reduction.dimensions", 2),
        {"fit_reduction reduced", "reduce_features reduced"} | searched("reduced"),
    ),
    "that a fusion weighs its members": (
        set_key("experiments.joined.fusion", "weighted"),
        {"fuse_features joined"} | searched("joined"),
    ),
    "the metric": (
        set_key("experiments.hog.search", {"metric": "euclidean"}),
        searched("hog") | BY_RANK,
    ),
    "the neighbours of an expansion": (
        set_key("experiments.expanded.search.query_expansion.neighbours", 3),
        searched("expanded"),
    ),
    "mutual neighbours": (
        set_key("experiments.reranked.k_reciprocal.k1", 4),
        RERANKED | evaluation("reranked"),
    ),
    "the answers verified": (
        set_key("experiments.reranked.geometric_verification.first", 3),
        {"verify_geometry reranked"} | evaluation("reranked"),
    ),
    "the constant of a fusion of ranks": (set_key("experiments.by_rank.constant", 10), BY_RANK),
    "the code of the reduction": (
        change_code("features/reduction"),
        {"fit_reduction reduced", "reduce_features reduced"} | searched("reduced"),
    ),
    "the code of re-ranking": (
        change_code("search/k_reciprocal"),
        RERANKED | evaluation("reranked"),
    ),
    "a training picture": (
        replace_a_training_picture,
        {"import_images originals", "split_images", "report_leaks"}
        | evaluation(*EXPERIMENTS)  # the row of each says what its pictures were split from
        | {"describe_images colour", "describe_images reduced", "encode_key_points sift"}
        | {"fit_reduction reduced", "learn_vocabulary sift"}
        | {"reduce_features reduced"}
        | searched("reduced", "colour")  # all parts of an experiment are extracted by one job
        | BY_RANK
        | AFTER_SIFT,
    ),
}


@pytest.fixture(scope="module")
def calls(finished, tmp_path_factory):
    """Edit -> a future of the jobs it calls for."""
    changes = {name: change for name, (change, _) in EDITS.items()}
    with dry_runs(finished, changes, tmp_path_factory) as planned:
        yield planned


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_computes_again_what_it_changes_and_nothing_else(calls, edit):
    assert calls[edit].result() == EDITS[edit][1]


def test_a_picture_file_is_searched_by_a_descriptor_and_a_query_as_it_was_ranked(finished):
    picture = finished.folder / "pictures/validation/query/discs/discs_0.jpg"
    for experiment in ("colour", "sift", "reduced", "learned", "expanded"):
        said = finished.gallerist("search", "--experiment", experiment, picture).stdout
        assert "discs" in said.splitlines()[0]
    said = finished.gallerist("search", "--experiment", "reranked", "--query", "1").stdout
    first = next(row for row in finished.rows("rankings/reranked.verified.csv"))
    assert f"{float(first['distance']):.4f}" in said
    refused = finished.gallerist("search", "--experiment", "by_rank", picture, check=False)
    assert refused.returncode == 1
    assert "search with one of them (colour, hog)" in refused.stdout


@pytest.mark.parametrize("experiment", [*EXPERIMENTS])
def test_a_packed_gallery_answers_as_the_workflow_ranked(
    finished, experiment, tmp_path, monkeypatch
):
    monkeypatch.chdir(finished.folder)
    config = read("config/config.yaml")
    results = Results.of(config)
    settings = config["experiments"][experiment]
    if experiment in ("by_rank", "reranked"):
        assert refusal(experiment, settings)
        with pytest.raises(NotSearchable, match=experiment):
            pack(results, config, experiment, tmp_path)
        return
    pack(results, config, experiment, tmp_path)
    gallery = SearchableGallery(tmp_path / "artifacts/gallery")
    pictures = Manifest.read(results.path("manifests/gallery.csv")).by_id()
    queries = Manifest.read(results.path("manifests/query.csv"))
    ranking = Ranking.read(results.path(f"rankings/{experiment}.csv"))
    found = gallery.rank([{"path": path} for path in queries.paths], 9)
    for query, answers in zip(queries, found, strict=True):
        row = ranking.query_ids.index(query.id)
        assert answers.ids == list(ranking.answers[row])
        assert answers.distances == pytest.approx(ranking.distances[row], abs=1e-8)
        assert answers.labels == [pictures[identifier].label for identifier in answers.ids]
        ends = zip(answers.names, answers.ids, strict=True)
        assert all(pictures[identifier].path.endswith(f"/{name}") for name, identifier in ends)


@pytest.mark.slow
def test_the_explaining_pictures_are_drawn_where_they_are_asked_for(workflow):
    workflow.edit_config("evaluation.explanations", ["map", "similarity"])
    vectors = [name for name in EXPERIMENTS if name != "by_rank"]  # which has none to draw
    assert workflow.rerun() == evaluation(*vectors)
    for name in vectors:
        assert (workflow.results / f"evaluation/{name}/map.png").stat().st_size > 10_000


NEW_DESCRIPTOR = '''

def mean_colour(pixels: Pixels, *, squared: bool) -> Vectors:
    """The mean of each channel, squared or not."""
    mean = pixels.reshape(-1, 3).astype(np.float32).mean(axis=0) / 255
    return np.asarray(mean**2 if squared else mean, dtype=np.float32)
'''


NEW_SETTINGS = '''
class MeanColour(RankedByVectors, WholePicture):
    """The mean colour of a picture."""

    descriptor: Literal["mean_colour"] = KIND
    squared: bool = key(False)
    """Squares every number."""


'''


def test_a_descriptor_needs_one_function_one_row_and_one_model_of_its_settings(workflow):
    workflow.log_nothing()
    module = workflow.folder / "scripts/gallerist/features/descriptors/colour.py"
    module.write_text(module.read_text(encoding="utf-8") + NEW_DESCRIPTOR, encoding="utf-8")
    registry = module.with_name("registry.py")
    table = registry.read_text(encoding="utf-8")
    table = table.replace("import colour_histogram", "import colour_histogram, mean_colour")
    table = table.replace('    "hog": hog,', '    "hog": hog,\n    "mean_colour": mean_colour,')
    registry.write_text(table, encoding="utf-8")
    models = "scripts/gallerist/settings/descriptors.py"
    workflow.edit_text(models, "Descriptor = ", NEW_SETTINGS + "Descriptor = ")
    workflow.edit_text(models, "    | HuMoments\n", "    | HuMoments\n    | MeanColour\n")
    workflow.edit_config("experiments.mean", {"descriptor": "mean_colour", "squared": True})
    done = workflow.rerun("results/tiny/evaluation/mean/metrics.json")
    own = {"describe_images mean", "search_gallery mean", "evaluate_retrieval mean"}
    assert done == own
    vectors = np.load(workflow.results / "features/mean/gallery.npy")
    assert vectors.shape == (9, 3)
    measured = json.loads((workflow.results / "evaluation/mean/metrics.json").read_text("utf-8"))
    assert measured["metrics"]["top-1"]["mean"] == 1  # red, green and blue


REVERSAL = '''"""Toy: the first answers of every query in the other order."""

from dataclasses import replace

from gallerist.search.ranking import Ranking


def reverse_first(ranking: Ranking, first: int) -> Ranking:
    """The same answers, the first few of them in the other order; distances as they were."""
    answers = tuple((*each[:first][::-1], *each[first:]) for each in ranking.answers)
    return replace(ranking, answers=answers)
'''
REVERSE_SCRIPT = '''"""Rule reverse_answers: a ranking -> its first answers reversed."""

from gallerist.search.ranking import Ranking
from gallerist.search.reversal import reverse_first
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    for after, before in run.each_search(snakemake.output.rankings, snakemake.input.rankings):
        ranking = reverse_first(Ranking.read(before), **run.settings)
        ranking.write(after)
        run.metrics(queries=len(ranking.query_ids))
'''
REVERSE_RULE = '''

rule reverse_answers:
    """Put the first answers in the other order."""
    input:
        rankings=rankings(before="reversal"),
    output:
        rankings=PLAN.ranked("{experiment}.reversed.csv"),
        record=results("rankings/{experiment}.reversed.record.json"),
    log:
        logs("reverse_answers/{experiment}.log"),
    benchmark:
        benchmarks("reverse_answers/{experiment}.tsv")
    conda:
        "../envs/gallerist.yaml"
    params:
        code=code_of("reverse_answers"),
        settings=step("reversal"),
    script:
        "../scripts/reverse_answers.py"
'''
REVERSE_STEP = """        picture=".matches.png",
    ),
    Step("reversal", suffix=".reversed", ranks_by_distance=False, single_query=False),
)"""


REVERSAL_SETTINGS = '''
class Reversal(Settings):
    """Puts the first answers in the other order."""

    first: Count = key(...)
    """Answers that change places."""


'''


def add_settings_of_reversal(workflow):
    """The one place that says which settings the step has, and for which experiments."""
    models, group = "scripts/gallerist/settings/ranking.py", "class RankedByVectors"
    last = "    geometric_verification: GeometricVerification | None = key(None)\n"
    workflow.edit_text(models, group, REVERSAL_SETTINGS + group)
    workflow.edit_text(models, last, last + "    reversal: Reversal | None = key(None)\n")


def code_of(workflow):
    """Every file of the checkout that says what the workflow does, and its text."""
    files = [workflow.folder / "Snakefile"]
    for folder in ("rules", "scripts"):
        files += (workflow.folder / folder).rglob("*.*")
    kept = [path for path in files if path.suffix in ("", ".py", ".smk", ".yaml")]
    return {path.relative_to(workflow.folder): path.read_text("utf-8") for path in kept}


def test_a_re_ranking_needs_five_files(workflow):
    """Its module, its script, its rule, one row of the steps, its settings: all else follows."""
    workflow.log_nothing()
    before = code_of(workflow)
    scripts = workflow.folder / "scripts"
    (scripts / "gallerist/search/reversal.py").write_text(REVERSAL, encoding="utf-8")
    (scripts / "reverse_answers.py").write_text(REVERSE_SCRIPT, encoding="utf-8")
    with (workflow.folder / "rules/rerank.smk").open("a", encoding="utf-8") as file:
        file.write(REVERSE_RULE)
    end = REVERSE_STEP.partition("    Step(")[0] + ")"
    workflow.edit_text("scripts/gallerist/workflow/experiments.py", end, REVERSE_STEP)
    add_settings_of_reversal(workflow)
    after = code_of(workflow)
    assert len({path for path, text in after.items() if before.get(path) != text}) == 5
    assert workflow.dry_run() == set()

    settings = {"fusion": "concatenation", "of": ["hog"], "k_reciprocal": {"k1": 3, "k2": 1}}
    workflow.edit_config("experiments.reversed", {**settings, "reversal": {"first": 3}})
    own = {f"{rule} reversed" for rule in ("rerank_reciprocally", "reverse_answers")}
    made = own | {"fuse_features reversed"} | evaluation("reversed")
    assert workflow.rerun() == made
    ranked, turned = (
        Ranking.read(workflow.results / f"rankings/reversed.{name}.csv")
        for name in ("reciprocal", "reversed")
    )
    for old, new in zip(ranked.answers, turned.answers, strict=True):
        assert new == (*old[2::-1], *old[3:])
    record = json.loads(
        (workflow.results / "evaluation/reversed/experiment.record.json").read_text("utf-8")
    )
    assert record["parameters"]["reverse_answers.first"] == 3

    workflow.edit_config("experiments.reversed.reversal.first", 2)
    assert workflow.dry_run() == {"reverse_answers reversed"} | evaluation("reversed")
    picture = workflow.folder / "pictures/validation/query/discs/discs_0.jpg"
    refused = workflow.gallerist("search", "--experiment", "reversed", picture, check=False)
    assert "reversed orders its answers again by k_reciprocal" in refused.stdout
    workflow.edit_config("challenge", {"embedded": {}, "k": 9})
    planned = workflow.dry_run()
    assert {"reverse_answers reversed", "write_submissions"} <= planned
    assert "reverse_answers hog" not in planned
