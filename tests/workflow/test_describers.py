"""Descriptors, key points, fusions and better rankings, in a real run without any network."""

import copy
import json

import numpy as np
import pytest
import yaml
from edits import dry_runs
from sklearn.neighbors import NearestNeighbors
from tiny_workflow import CONFIG, Workflow, draw_picture, jobs_of

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


def judged(*experiments):
    return {f"evaluate_retrieval {name}" for name in experiments} | {"compare_experiments"}


def searched(*experiments):
    return {f"search_gallery {name}" for name in experiments} | judged(*experiments)


def of_parts(rule, experiment, *parts):
    return {f"{rule} {experiment} {part}" for part in parts or PARTS}


RERANKED = {"rerank_reciprocally reranked", "verify_geometry reranked"}
BY_RANK = {"fuse_rankings by_rank"} | judged("by_rank")
AFTER_HOG = (
    searched("hog", "expanded", "indexed")
    | RERANKED
    | judged("reranked")
    | {job for name in OF_HOG for job in of_parts("fuse_features", name)}
    | BY_RANK
)
AFTER_SIFT = (
    searched("sift", "learned") | {"learn_fusion learned"} | of_parts("fuse_features", "learned")
)


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    folder = tmp_path_factory.mktemp("described") / "gallerist"
    workflow = Workflow(folder, {**CONFIG, "experiments": EXPERIMENTS})
    workflow.log_nothing()
    workflow.first_run = workflow.run()
    workflow.log_again()
    workflow.gallerist("summary")
    return workflow


@pytest.fixture
def workflow(described, tmp_path):
    return described.copy(tmp_path / "gallerist")


def test_every_experiment_has_a_line_of_the_comparison_and_no_network_is_trained(described):
    table = described.rows("comparison/comparison.csv")
    assert [line["experiment"] for line in table] == list(EXPERIMENTS)
    assert {line["weights"] for line in table} == {"none"}
    assert all(0 <= float(line["top-1"]) <= 1 for line in table)
    lengths = {line["experiment"]: float(line["feature length"]) for line in table}
    assert lengths["reduced"] == 3
    assert lengths["learned"] <= lengths["colour"] + lengths["sift"]
    assert lengths["by_rank"] == 0
    assert not any(job.startswith("train_network") for job in jobs_of(described.first_run))


def test_the_colours_of_the_classes_are_told_apart(described):
    """Red discs, green stripes, blue chequers: a colour histogram makes no mistake."""
    (line,) = [
        line
        for line in described.rows("comparison/comparison.csv")
        if line["experiment"] == "colour"
    ]
    assert float(line["top-1"]) == 1


def test_the_search_is_that_of_scikit_learn(described):
    folder = described.results / "features/hog"
    gallery, queries = (np.load(folder / f"{part}.npy").astype(float) for part in PARTS)
    ids = [row["id"] for row in described.rows("features/hog/gallery.ids.csv")]
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute", metric="cosine").fit(gallery)
    distances, found = nearest.kneighbors(queries)
    first = [row for row in described.rows("rankings/hog.csv") if row["rank"] == "1"]
    assert [row["gallery_id"] for row in first] == [ids[row] for row in found[:, 0]]
    told = [float(row["distance"]) for row in first]
    np.testing.assert_allclose(told, distances[:, 0], atol=1e-6)


def test_an_index_is_measured_against_the_exact_search(described):
    record = json.loads((described.results / "rankings/indexed.record.json").read_text("utf-8"))
    assert record["metrics"]["recall-1"] == 1  # nine pictures: a graph of 8 finds all
    assert record["metrics"]["index_bytes"] > 0


def test_the_weights_of_a_fusion_come_from_validation_and_are_logged(described):
    weights = json.loads((described.results / "fusions/learned.json").read_text("utf-8"))
    assert sum(weights.values()) == pytest.approx(1)
    (row,) = described.tracked_runs("tiny", "tags.`gallerist.experiment` = 'learned'")
    assert float(row.data.params["fuse_features.gallery.weight.colour"]) == weights["colour"]
    assert row.data.params["describe_images.colour.gallery.bins"] == "4"


def test_every_pair_of_experiments_is_tested(described):
    found = described.rows("comparison/differences.csv")
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
        of_parts("describe_images", "colour", *PARTS, "validation")
        | searched("colour", "learned")
        | {"learn_fusion learned"}
        | of_parts("fuse_features", "learned")
        | BY_RANK,
    ),
    "a descriptor's cells": (
        set_key("experiments.hog.cells", 4),
        of_parts("describe_images", "hog") | AFTER_HOG,
    ),
    "the visual words": (
        set_key("experiments.sift.words", 5),
        {"learn_vocabulary sift"}
        | of_parts("encode_key_points", "sift", *PARTS, "validation")
        | AFTER_SIFT,
    ),
    "the dimensions left": (
        set_key("experiments.reduced.reduction.dimensions", 2),
        {"fit_reduction reduced"} | of_parts("reduce_features", "reduced") | searched("reduced"),
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
        RERANKED | judged("reranked"),
    ),
    "the answers verified": (
        set_key("experiments.reranked.geometric_verification.first", 3),
        {"verify_geometry reranked"} | judged("reranked"),
    ),
    "the constant of a fusion of ranks": (set_key("experiments.by_rank.constant", 10), BY_RANK),
    "the code of the reduction": (
        change_code("features/reduction"),
        {"fit_reduction reduced"} | of_parts("reduce_features", "reduced") | searched("reduced"),
    ),
    "the code of re-ranking": (change_code("search/k_reciprocal"), RERANKED | judged("reranked")),
    "a training picture": (
        replace_a_training_picture,
        {"import_images originals", "split_images", "report_leaks"}
        | judged(*EXPERIMENTS)  # the row of each says what its pictures were split from
        | of_parts("describe_images", "colour", "validation")
        | of_parts("describe_images", "reduced", "training")
        | {"fit_reduction reduced", "learn_vocabulary sift"}
        | of_parts("reduce_features", "reduced")
        | searched("reduced")
        | of_parts("encode_key_points", "sift", *PARTS, "validation")
        | AFTER_SIFT,
    ),
}


@pytest.fixture(scope="module")
def calls(described, tmp_path_factory):
    """Edit -> a future of the jobs it calls for."""
    changes = {name: change for name, (change, _) in EDITS.items()}
    with dry_runs(described, changes, tmp_path_factory) as planned:
        yield planned


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_computes_again_what_it_changes_and_nothing_else(calls, edit):
    assert calls[edit].result() == EDITS[edit][1]


def test_a_picture_file_is_searched_by_a_descriptor_and_a_query_as_it_was_ranked(described):
    picture = described.folder / "pictures/validation/query/discs/discs_0.jpg"
    for experiment in ("colour", "sift", "reduced", "learned", "expanded"):
        said = described.gallerist("search", "--experiment", experiment, picture).stdout
        assert "discs" in said.splitlines()[0]
    said = described.gallerist("search", "--experiment", "reranked", "--query", "1").stdout
    first = next(row for row in described.rows("rankings/reranked.verified.csv"))
    assert f"{float(first['distance']):.4f}" in said
    refused = described.gallerist("search", "--experiment", "by_rank", picture, check=False)
    assert refused.returncode == 1
    assert "search with one of them (colour, hog)" in refused.stdout


@pytest.mark.parametrize("experiment", [*EXPERIMENTS])
def test_a_packed_gallery_answers_as_the_workflow_ranked(
    described, experiment, tmp_path, monkeypatch
):
    monkeypatch.chdir(described.folder)
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
    assert workflow.rerun() == {f"draw_feature_map {name}" for name in vectors} | judged(*vectors)
    for name in vectors:
        assert (workflow.results / f"evaluation/{name}/map.png").stat().st_size > 10_000


NEW_DESCRIPTOR = '''

def mean_colour(pixels: Pixels, *, squared: bool) -> Vectors:
    """The mean of each channel, squared or not."""
    mean = pixels.reshape(-1, 3).astype(np.float32).mean(axis=0) / 255
    return np.asarray(mean**2 if squared else mean, dtype=np.float32)
'''


def test_a_descriptor_needs_one_function_one_row_and_one_entry_of_the_schema(workflow):
    workflow.log_nothing()
    module = workflow.folder / "scripts/gallerist/features/descriptors/colour.py"
    module.write_text(module.read_text(encoding="utf-8") + NEW_DESCRIPTOR, encoding="utf-8")
    registry = module.with_name("registry.py")
    table = registry.read_text(encoding="utf-8")
    table = table.replace("import colour_histogram", "import colour_histogram, mean_colour")
    table = table.replace('    "hog": hog,', '    "hog": hog,\n    "mean_colour": mean_colour,')
    registry.write_text(table, encoding="utf-8")
    schema = yaml.safe_load((workflow.folder / "config/schema.yaml").read_text("utf-8"))
    entry = copy.deepcopy(schema["$defs"]["hu_moments"])
    entry["properties"]["descriptor"]["const"] = "mean_colour"
    entry["properties"]["squared"] = {
        "description": "Squares every number.",
        "type": "boolean",
        "default": False,
    }
    schema["$defs"]["mean_colour"] = entry
    schema["$defs"]["experiment"]["oneOf"].append({"$ref": "#/$defs/mean_colour"})
    text = yaml.safe_dump(schema, sort_keys=False)
    (workflow.folder / "config/schema.yaml").write_text(text, encoding="utf-8")
    workflow.edit_config("experiments.mean", {"descriptor": "mean_colour", "squared": True})
    done = workflow.rerun("results/tiny/evaluation/mean/metrics.json")
    own = of_parts("describe_images", "mean") | {"search_gallery mean", "evaluate_retrieval mean"}
    assert done == own
    vectors = np.load(workflow.results / "features/mean/gallery.npy")
    assert vectors.shape == (9, 3)
    measured = json.loads((workflow.results / "evaluation/mean/metrics.json").read_text("utf-8"))
    assert measured["metrics"]["top-1"]["mean"] == 1  # red, green and blue
