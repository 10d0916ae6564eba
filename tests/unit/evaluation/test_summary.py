"""One experiment's row: parameters and costs from the records of its jobs."""

import pytest

from gallerist.evaluation.summary import (
    costs,
    format_description,
    hit_rate_points,
    of_stage,
    outline,
    training_curves,
    upstream_parameters,
    weights,
)
from gallerist.io.metric_names import OUTLINE
from gallerist.records.record import RUN_ID, Record

TRAINED = {"training_seconds": 60.0, "epochs_run": 5, "parameters": 1000, "parameters_trained": 10}


def record(stage, *, experiment=None, item=None, part=None, metrics=None, **further):
    return Record(
        stage=stage, dataset="animals", execution="0" * 32, title=stage,
        started="2024-01-01T00:00:00.000+00:00", status="finished",
        experiment=experiment, item=item, part=part, metrics=metrics or {}, **further,
    )  # fmt: skip


def extraction_records(stage, experiment, gallery_seconds, query_seconds, length=64, **further):
    """The two records of a stage that extracted vectors of 90 gallery pictures and 10 queries.

    further: metrics of the first.
    """
    return [
        record(
            stage, experiment=experiment, part=part,
            metrics={
                "images": images, "extraction_seconds": seconds, "feature_length": length, **more,
            },
        )
        for part, images, seconds, more in (
            ("gallery", 90, gallery_seconds, further),
            ("query", 10, query_seconds, {}),
        )
    ]  # fmt: skip


def made_of(stage, experiment, length):
    """The record of a stage that made vectors from vectors."""
    metrics = {"images": 100, "feature_length": length}
    return [record(stage, experiment=experiment, metrics=metrics)]


def imported(part, skipped=0, warned=0):
    metrics = {"images_skipped": skipped, "images_warned": warned}
    return record("import_images", part=part, metrics=metrics)


def trained(experiment, started_from="ImageNet", curves=None, **metrics):
    return record(
        "train_network", experiment=experiment, metrics={**TRAINED, **metrics},
        tags={"weights": started_from}, curves=curves or {},
    )  # fmt: skip


def trunk(item, seconds, **images):
    """The record of a trunk. images: of each part, all together in that many seconds."""
    return record(
        "extract_trunk", item=item,
        metrics={
            "images": sum(images.values()), "extraction_seconds": seconds,
            **{f"{part}_images": count for part, count in images.items()},
        },
    )  # fmt: skip


# Costs


def test_the_costs_of_a_network():
    found = costs(
        [
            imported("originals", skipped=2, warned=1),
            imported("gallery", skipped=1),
            imported("query", warned=4),
            trained("net"),
            *extraction_records("extract_features", "net", 18, 2, length=2048),
        ]
    )
    assert found == {
        "training_seconds": 60,
        "epochs_run": 5,
        "parameters": 1000,
        "parameters_trained": 10,
        "trunk_seconds": 0,
        "feature_length": 2048,
        "extraction_images_per_second": 100 / 20,
        "images_skipped": 3,
        "images_warned": 5,
    }


def test_of_searches_by_an_index_the_least_recall_is_told():
    """Of the first ten answers, or of all where fewer are kept; nothing of an exact search."""
    searches = [
        record("search_gallery", experiment="net", metrics={"recall-1": 0.9, "recall-7": 0.8}),
        record(
            "search_gallery",
            experiment="other",
            metrics={"recall-10": 0.7, "recall-100": 0.5, "challenge/recall-10": 0.1},
        ),
        record("search_gallery", experiment="third", metrics={"search_seconds": 1.0}),
    ]
    for some, least in ((searches[:1], 0.8), (searches, 0.7), (searches[2:], None)):
        vectors = extraction_records("extract_features", "net", 18, 2, length=2048)
        assert costs([*vectors, *some]).get("index_recall") == least


def test_frozen_layers_count_where_they_were_run():
    """Those of training pictures beside the epochs; those of gallery and queries in the speed."""
    found = costs(
        [
            trained("net"),
            trunk("ResNet50", 50, training=50, augmented=50, validation=50),
            *extraction_records("extract_features", "net", 4, 1, trunk_seconds_per_image=0.2),
        ]
    )
    assert found["trunk_seconds"] == 50
    assert found["extraction_images_per_second"] == pytest.approx(1 / (0.2 + (4 + 1) / 100))


@pytest.mark.parametrize("stage", ["describe_images", "encode_key_points"])
def test_a_descriptor_costs_no_epochs_and_no_parameters(stage):
    found = costs([imported("originals"), *extraction_records(stage, "colour", 4, 1, length=512)])
    assert found["extraction_images_per_second"] == pytest.approx(20)
    assert found["feature_length"] == 512
    for name in (*TRAINED, "trunk_seconds", "images_skipped", "images_warned"):
        assert found[name] == 0


def test_other_parts_that_were_described_do_not_count_as_searched():
    training = record(
        "describe_images", experiment="colour", part="training",
        metrics={"images": 5000, "extraction_seconds": 900.0, "feature_length": 512},
    )  # fmt: skip
    found = costs([training, *extraction_records("describe_images", "colour", 4, 1)])
    assert found["extraction_images_per_second"] == pytest.approx(20)


def test_the_feature_length_is_that_of_reduced_vectors_where_they_are_reduced():
    upstream = [
        *extraction_records("extract_features", "net", 4, 1),
        *made_of("reduce_features", "net", 32),
    ]
    assert costs(upstream)["feature_length"] == 32
    assert costs(upstream[::-1])["feature_length"] == 32


def joined_members():
    """A network with a trunk of its own, another with another, a reduced one and a descriptor."""
    return [
        trunk("ResNet50", 25, training=50),
        trained("net"),
        *extraction_records("extract_features", "net", 4, 1, 2048, trunk_seconds_per_image=0.5),
        *made_of("reduce_features", "net", 32),
        trunk("DenseNet121", 15, training=50),
        trained("dense", training_seconds=40.0),
        *extraction_records("extract_features", "dense", 3, 2, 1024, trunk_seconds_per_image=0.3),
        *extraction_records("describe_images", "colour", 20, 5, length=512),
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_joined_vectors_cost_what_all_their_members_cost(turned):
    upstream = [*joined_members(), *made_of("fuse_features", "both", 1568)]
    found = costs(upstream[::-1] if turned else upstream)
    assert found["training_seconds"] == 100
    assert found["epochs_run"] == 10
    assert found["parameters"] == 2000
    assert found["trunk_seconds"] == 25 + 15
    assert found["feature_length"] == 1568
    # A picture, extracted by all three: .5 + .05 + .3 + .05 + .25 seconds.
    assert found["extraction_images_per_second"] == pytest.approx(1 / 1.15)


def test_joined_vectors_that_are_reduced_have_the_reduced_length():
    fused = [*made_of("fuse_features", "both", 1568), *made_of("reduce_features", "both", 16)]
    assert costs([*joined_members(), *fused])["feature_length"] == 16


def test_joined_rankings_have_no_feature_length_of_their_own():
    found = costs([*joined_members(), record("fuse_rankings", experiment="both")])
    assert found["feature_length"] == 0
    assert found["training_seconds"] == 100
    assert found["extraction_images_per_second"] == pytest.approx(1 / 1.15)


def test_without_any_record_everything_is_zero():
    assert set(costs([]).values()) == {0}


# Parameters


def test_parameters_have_the_name_of_their_stage_and_part():
    found = upstream_parameters(
        [
            record("split_images", parameters={"seed": 7}),
            record("import_images", part="gallery", parameters={"max_pixels": 10}),
            record("import_images", part="query", parameters={"max_pixels": 20}),
            record("fetch_weights", item="ResNet50-imagenet", parameters={"weights_used": "x"}),
            record("train_network", experiment="net", parameters={"epochs": 3, "device": None}),
            record("search_gallery", experiment="net", parameters={"depth": 50}),
        ],
        "net",
    )
    assert found == {
        "split_images.seed": 7,
        "import_images.gallery.max_pixels": 10,
        "import_images.query.max_pixels": 20,
        "fetch_weights.weights_used": "x",
        "train_network.epochs": 3,
        "train_network.device": None,
        "search_gallery.depth": 50,
    }


def test_parameters_of_members_bear_their_names_so_that_none_hides_another():
    upstream = [
        record("split_images", parameters={"seed": 7}),
        *(
            record("describe_images", experiment=name, part=part, parameters={"settings": name})
            for name in ("colour", "shape")
            for part in ("gallery", "query")
        ),
        record("fuse_features", experiment="both", parameters={"members": "x"}),
    ]
    assert upstream_parameters(upstream, "both") == {
        "split_images.seed": 7,
        "describe_images.colour.gallery.settings": "colour",
        "describe_images.colour.query.settings": "colour",
        "describe_images.shape.gallery.settings": "shape",
        "describe_images.shape.query.settings": "shape",
        "fuse_features.members": "x",
    }


def test_parameters_of_several_weights_and_trunks_bear_their_names():
    upstream = [
        record(stage, item=item, parameters={"weights_used": item})
        for item in ("ResNet50", "DenseNet121")
        for stage in ("fetch_weights", "extract_trunk")
    ]
    assert upstream_parameters(upstream, "both") == {
        "fetch_weights.ResNet50.weights_used": "ResNet50",
        "fetch_weights.DenseNet121.weights_used": "DenseNet121",
        "extract_trunk.ResNet50.weights_used": "ResNet50",
        "extract_trunk.DenseNet121.weights_used": "DenseNet121",
    }


# The rest of a row


def test_the_outline_has_the_same_short_names_for_every_experiment():
    network = record(
        "train_network", experiment="net",
        parameters={
            "network": "transfer", "backbone": "ResNet50", "pooling": "avg", "image_size": 64,
            "epochs": 2,
        },
    )  # fmt: skip
    plain = record("describe_images", experiment="hog", parameters={"descriptor": "hog"})
    one = outline([network], "imagenet")
    assert one == {
        "kind": "transfer", "backbone": "ResNet50", "weights": "imagenet", "pooling": "avg",
        "image_size": 64, "epochs": 2,
    }  # fmt: skip
    assert outline([plain, plain], "none") == {
        **dict.fromkeys(one, "none"), "kind": "hog", "epochs": 0,
    }  # fmt: skip
    assert outline([network, plain], "imagenet")["kind"] == "transfer + hog"
    assert tuple(one) == OUTLINE


def test_the_hit_rate_is_a_curve_whose_step_is_k():
    points = hit_rate_points([float(k) for k in range(1, 201)], [k / 200 for k in range(1, 201)])
    assert points[:2] == [(1, 0.005), (2, 0.01)]
    assert points[-1][0] == 100


def test_weights_are_those_of_its_networks_each_once():
    assert weights([trained("a", "ImageNet"), trained("b", "ImageNet")]) == "ImageNet"
    assert weights([trained("a", "ImageNet"), trained("b", "my.keras")]) == "ImageNet, my.keras"
    assert weights([trained("scratch", "none")]) == "none"
    assert weights(extraction_records("describe_images", "colour", 1, 1)) == "none"


def test_training_curves_are_shown_of_one_training_only():
    curves = {"accuracy": [(1, 0.5), (2, 0.75)]}
    one, other = trained("a", curves=curves), trained("b", curves=curves)
    assert training_curves([imported("gallery"), one]) == curves
    assert training_curves([one, other]) == {}
    assert training_curves([imported("gallery")]) == {}


def test_the_records_of_a_stage_keep_their_order():
    records = [imported("query"), trained("a"), imported("gallery")]
    assert [each.part for each in of_stage(records, "import_images")] == ["query", "gallery"]


def test_the_note_is_a_table_of_the_metrics():
    text = format_description(
        "net", "animals", "ImageNet",
        {
            "top-1": {"mean": 0.93833, "low": 0.9, "high": 0.96},
            "mAP": {"mean": 0.5, "low": None, "high": None},
        },
        600,
    )  # fmt: skip
    assert text.startswith("**net** on **animals**, 600 queries: top-1 0.9383, mAP 0.5000.\n\n")
    assert f"](get-artifact?path=pictures/median.png&run_uuid={RUN_ID})" in text
    assert "| top-1 | 0.9383 | 0.9000 to 0.9600 |\n| mAP | 0.5000 |  |" in text
    assert "Weights it started from: ImageNet." in text
    markdown_it = pytest.importorskip("markdown_it")
    shown = markdown_it.MarkdownIt("commonmark").enable("table").render(text)
    assert shown.count("<tr>") == 3
