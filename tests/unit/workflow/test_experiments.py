"""What follows from an experiment's settings alone: its kind, its steps, its rankings."""

import pytest

from gallerist.workflow.experiments import (
    STEPS,
    Experiment,
    NotSearchable,
    check_searchable,
    extractor_files,
    refusal,
)

HOG = {"descriptor": "hog"}
TRANSFER = {
    "network": "transfer",
    "backbone": "MobileNetV2",
    "weights": "imagenet",
    "image_size": 224,
    "freeze_until": "block_16",
    "trunk_cache": "float16",
}
K_RECIPROCAL = {"k_reciprocal": {"k1": 3}}
VERIFICATION = {"geometric_verification": {"first": 4}}


def experiment(*settings):
    merged = {key: value for each in settings for key, value in each.items()}
    return Experiment.of("one", merged)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"network": "scratch"}, "network"),
        (TRANSFER, "network"),
        (HOG, "descriptor"),
        ({"descriptor": "sift", "encoding": "vlad"}, "vocabulary"),
        ({"fusion": "concatenation", "of": ["a"]}, "fused_vectors"),
        ({"fusion": "weighted", "of": ["a"]}, "fused_vectors"),
        ({"fusion": "ranks", "of": ["a"]}, "fused_rankings"),
    ],
)
def test_a_kind_follows_from_what_an_experiment_names(settings, kind):
    assert experiment(settings).kind == kind


def test_the_settings_of_later_steps_decide_no_vectors():
    steps = {"reduction": {"method": "pca", "dimensions": 3}, **K_RECIPROCAL, **VERIFICATION}
    asked = experiment(HOG, steps).extraction
    assert asked == experiment(HOG).extraction
    assert asked["descriptor"] == "hog"
    assert not asked.keys() & {step.name for step in STEPS}
    assert "views" not in experiment(TRANSFER, {"views": {}}).extraction


@pytest.mark.parametrize(
    ("settings", "rankings"),
    [
        ([], ["rankings/one"]),
        # It starts from the vectors, so nothing is searched.
        ([K_RECIPROCAL], ["rankings/one.reciprocal"]),
        ([VERIFICATION], ["rankings/one", "rankings/one.verified"]),
        ([VERIFICATION, K_RECIPROCAL], ["rankings/one.reciprocal", "rankings/one.verified"]),
        ([{"k_reciprocal": None, "geometric_verification": None}], ["rankings/one"]),
    ],
)
def test_the_rankings_of_an_experiment_are_those_of_its_steps(settings, rankings):
    asked = experiment(HOG, *settings)
    assert asked.rankings() == rankings
    assert asked.ranking == rankings[-1]


def test_a_step_starts_from_the_ranking_before_it():
    before = "geometric_verification"
    assert experiment(HOG, VERIFICATION).rankings(before)[-1] == "rankings/one"
    both = experiment(HOG, VERIFICATION, K_RECIPROCAL)
    assert both.rankings(before)[-1] == "rankings/one.reciprocal"


def test_every_step_has_a_ranking_and_a_key_of_its_own():
    suffixes = [step.suffix for step in STEPS if step.suffix]
    assert len(suffixes) == len(set(suffixes))
    assert len({step.name for step in STEPS}) == len(STEPS)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (HOG, True),
        ({**HOG, "reduction": {"method": "pca"}}, True),
        ({**HOG, "search": {"index": "HNSW8"}}, False),
        ({**HOG, "search": {"query_expansion": {"neighbours": 2}}}, False),
        ({**HOG, "search": {"database_augmentation": {"neighbours": 2}}}, False),
        ({**HOG, **K_RECIPROCAL}, False),
        ({**HOG, **VERIFICATION}, False),
        ({"fusion": "concatenation", "of": ["hog"]}, True),
        ({"fusion": "ranks", "of": ["hog"]}, False),
    ],
)
def test_only_a_plain_search_ranks_by_distance_alone(settings, expected):
    assert experiment(settings).ranked_by_distance is expected


def test_one_picture_is_ranked_unless_a_step_needs_the_whole_workflow():
    assert refusal("one", HOG) is None
    assert refusal("one", {**HOG, "reduction": {"method": "pca"}}) is None
    assert refusal("one", {**TRANSFER, "views": {"flip": True}}) is None
    assert refusal("one", {**HOG, **VERIFICATION}) == (
        "one orders its answers again by geometric_verification, which the workflow does"
    )
    assert refusal("one", {"fusion": "ranks", "of": ["a", "b"]}) == (
        "one joins the rankings of other experiments: search with one of them (a, b)"
    )
    with pytest.raises(NotSearchable, match="again by k_reciprocal, which"):
        check_searchable("one", {**HOG, **K_RECIPROCAL, **VERIFICATION})


@pytest.mark.parametrize(
    ("changes", "pretrained", "trunk"),
    [
        ({}, "MobileNetV2-imagenet", "MobileNetV2-imagenet-224-block_16-float16"),
        (
            {"look": "grey"},
            "MobileNetV2-imagenet",
            "MobileNetV2-imagenet-224-block_16-float16-grey",
        ),
        (
            {"resizing": "crop", "crop_ratio": 0.9},
            "MobileNetV2-imagenet",
            "MobileNetV2-imagenet-224-block_16-float16-crop-0.9",
        ),
        # The first digits of `printf a.h5 | sha256sum`.
        (
            {"weights": "a.h5"},
            "MobileNetV2-file-d02afc90",
            "MobileNetV2-file-d02afc90-224-block_16-float16",
        ),
        ({"freeze_until": "nothing"}, "MobileNetV2-imagenet", None),
        ({"trunk_cache": False}, "MobileNetV2-imagenet", None),
    ],
)
def test_equal_weights_and_equal_trunks_have_one_name(changes, pretrained, trunk):
    asked = experiment(TRANSFER, changes)
    assert asked.pretrained == pretrained
    assert asked.trunk == trunk
    assert bool(asked.trunk_settings) == (trunk is not None)


def test_a_network_from_random_weights_has_neither_pretrained_weights_nor_a_trunk():
    asked = experiment({"network": "scratch"})
    assert (asked.pretrained, asked.trunk, asked.trunk_settings) == (None, None, {})


def test_a_file_of_weights_is_known_by_its_path():
    assert experiment(TRANSFER).weights_file is None
    assert experiment(TRANSFER, {"weights": "a.h5"}).weights_file == "a.h5"
    assert experiment(HOG).weights_file is None


def test_features_are_extracted_with_the_files_of_all_members():
    experiments = {
        "net": {"network": "scratch"},
        "sift": {"descriptor": "sift", "encoding": "vlad", "reduction": {"method": "pca"}},
        "both": {"fusion": "weighted", "of": ["net", "sift"]},
    }
    assert extractor_files("both", experiments) == [
        "models/net/model.keras",
        "models/net/model.xml",
        "models/net/model.bin",
        "models/net/model.json",
        "models/net/preprocessing.json",
        "vocabularies/sift.npz",
        "reductions/sift.npz",
        "features/both/weights.json",
        "features/both/gallery.npy",
        "features/both/gallery.ids.csv",
        "features/both/gallery.origin.json",
    ]
    assert extractor_files("sift", experiments)[-1] == "reduced/sift/gallery.origin.json"
