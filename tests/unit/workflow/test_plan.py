"""Which files the jobs of a configuration take and leave."""

import pytest

from gallerist.settings.configuration import Configuration
from gallerist.workflow.plan import Plan

NETWORK = {"network": "scratch", "epochs": 2}
TRANSFER = {
    **NETWORK,
    "network": "transfer",
    "backbone": "MobileNetV2",
    "weights": "random",
    "image_size": 32,
    "freeze_until": "block_16",
}
TRUNK = "MobileNetV2-random-32-block_16-float32"
HOG = {"descriptor": "hog", "reduction": {"method": "pca"}}
SIFT = {"descriptor": "sift"}
EXPERIMENTS = {
    "scratch": NETWORK,
    "transfer": TRANSFER,
    "hog": HOG,
    "sift": {**SIFT, "geometric_verification": {"first": 3}},
    "both": {"fusion": "weighted", "of": ["hog", "sift"]},
    "side_by_side": {"fusion": "concatenation", "of": ["hog", "sift"]},
    "by_rank": {"fusion": "ranks", "of": ["hog", "sift"]},
}
CONFIG = {
    "dataset": {"name": "tiny", "folder": "pictures"},
    "augmentation": {"copies": 1},
    "experiments": EXPERIMENTS,
    "evaluation": {"explanations": []},
}
ARCHIVE = {"location": "a.zip", "sha256": 64 * "0"}
CHALLENGE = {"embedded": {}}


def plan(**changes):
    return Plan(Configuration.model_validate({**CONFIG, **changes}))


def dataset(**changes):
    return {"dataset": {**CONFIG["dataset"], **changes}}


def changed(name, **settings):
    return {"experiments": {**EXPERIMENTS, name: {**EXPERIMENTS[name], **settings}}}


def below(paths):
    """Without the folder of the results, which all must be in."""
    assert all(path.startswith("results/tiny/") for path in paths)
    return [path.removeprefix("results/tiny/") for path in paths]


def three(stem):
    return [f"{stem}.npy", f"{stem}.ids.csv", f"{stem}.origin.json"]


def test_a_part_is_imported_from_its_folder_of_the_source():
    assert plan().part_folder("gallery") == "pictures/validation/gallery"
    assert plan().part_source("gallery") == []
    archive = dataset(folder=None, archive={**ARCHIVE, "subfolder": "a/b"}, layout="classes")
    assert plan(**archive).part_folder("originals") == "results/tiny/source/a/b"
    assert plan(**archive).part_source("originals") == "results/tiny/source"
    assert plan(**archive).imported == ["originals"]
    embedded = dataset(folder=None, embedded={})
    assert plan(**embedded).part_folder("query") == "results/tiny/source/validation/query"


def test_a_pool_is_imported_from_where_it_is_and_extends_the_training_part():
    extended = plan(**dataset(extend={"pool": "more/pictures", "per_class": 9}))
    assert extended.imported == ["originals", "gallery", "query", "pool"]
    assert extended.part_folder("pool") == "more/pictures"
    assert extended.part_source("pool") == []
    assert extended.manifest("training") == "results/tiny/manifests/extended_training.csv"
    assert plan().manifest("training") == "results/tiny/manifests/training.csv"
    assert extended.manifest("query") == plan().manifest("query")


def test_parts_that_are_drawn_or_unpacked_change_together_and_those_of_the_users_apart():
    assert plan().sources == {}
    assert plan().users == ["originals", "gallery", "query"]
    drawn = plan(challenge=CHALLENGE, **dataset(folder=None, embedded={}))
    assert drawn.sources == {
        "source": ["originals", "gallery", "query"],
        "challenge": ["challenge_gallery", "challenge_query"],
    }
    assert drawn.users == []
    extended = plan(
        **dataset(folder=None, archive=ARCHIVE, extend={"pool": "more", "per_class": 9})
    )
    assert extended.sources == {"source": ["originals", "gallery", "query"]}
    assert extended.users == ["pool"]
    assert below(drawn.challenge_imports) == ["manifests/challenge.record.json"]
    own = plan(challenge={"folder": "mine"}, **dataset(folder=None, embedded={}))
    assert len(own.challenge_imports) == 2
    assert own.users == ["challenge_gallery", "challenge_query"]


def test_a_tree_with_unseen_classes_is_divided_in_all_its_parts():
    assert plan().undivided == {"originals": "results/tiny/manifests/originals.csv"}
    unseen = plan(**dataset(split={"unseen_classes": 1}))
    assert unseen.imported == ["originals", "gallery_originals", "query_originals"]
    assert below(unseen.undivided.values()) == [f"manifests/{each}.csv" for each in unseen.imported]
    assert unseen.part_folder("query_originals") == "pictures/validation/query"
    shares = dict.fromkeys(("training", "validation", "gallery", "query"), 0.25)
    classes = dataset(layout="classes", split={**shares, "unseen_classes": ["a"]})
    assert plan(**classes).imported == ["originals"]


def test_where_the_gallery_searches_itself_its_vectors_are_those_of_the_queries():
    asked = plan(challenge=CHALLENGE, evaluation={"protocol": "leave_one_out"})
    assert asked.queries("hog")[:3] == asked.galleries("hog")[:3]
    assert asked.queries("hog")[3:] == plan(challenge=CHALLENGE).queries("hog")[3:]
    assert asked.asking == [None, None]
    assert asked.grouped == []
    assert "query" not in asked.parts("hog")  # there is no such folder
    cross = plan(challenge=CHALLENGE, evaluation={"protocol": "cross", "folds": {"by": "class"}})
    assert cross.asking == [{"folds": {"number": 5, "by": "class", "seed": 99}}, None]
    assert cross.grouped == cross.manifest("gallery")


def test_queries_that_are_there_stay_so_that_another_protocol_computes_nothing(tmp_path):
    alone = {"evaluation": {"protocol": "leave_one_out"}}
    shares = {"training": 0.4, "validation": 0.2, "gallery": 0.4}
    classes = dataset(layout="classes", split=shares)
    assert plan(**classes, **alone).parts_of_data == ["training", "validation", "gallery"]
    more = dataset(layout="classes", split={**shares, "gallery": 0.2, "query": 0.2})
    assert plan(**more, **alone).parts("scratch") == ["gallery", "query"]
    tree = dataset(folder=str(tmp_path))
    assert plan(**tree, **alone).imported == ["originals", "gallery"]
    (tmp_path / "validation/query").mkdir(parents=True)
    assert plan(**tree, **alone).imported == ["originals", "gallery", "query"]
    assert plan(**dataset(folder=None, embedded={}), **alone).parts_of_data[3:] == ["query"]


def test_the_parts_of_a_challenge_are_extracted_where_there_is_one():
    assert plan().extracted == ["training", "validation", "gallery", "query"]
    drawn = plan(challenge=CHALLENGE)
    assert drawn.extracted[4:] == ["challenge_gallery", "challenge_query"]
    assert drawn.part_folder("challenge_query") == "results/tiny/challenge/source/query"
    assert drawn.part_source("challenge_query") == "results/tiny/challenge/source"
    assert drawn.challenge_truth == "results/tiny/challenge/truth.json"
    own = plan(challenge={"folder": "mine"})
    assert own.part_folder("challenge_gallery") == "mine/gallery"
    assert own.part_source("challenge_gallery") == []
    assert own.challenge_truth == []
    assert plan(challenge={"folder": "mine", "truth": "t.json"}).challenge_truth == "t.json"


def test_a_network_waits_on_copies_only_where_there_are_some_and_it_uses_them():
    assert below([plan().augmented_copies("scratch")]) == ["manifests/augmented.csv"]
    assert plan(augmentation={"copies": 0}).augmented_copies("scratch") == []
    assert plan(**changed("scratch", augmented=False)).augmented_copies("scratch") == []
    assert plan().augmented_copies("hog") == []


EXPORTED = [f"trunks/{TRUNK}/trunk.{suffix}" for suffix in ("xml", "bin", "json")]
ROWS = [f"trunks/{TRUNK}/training.record.json"]


def test_an_encoder_is_imported_once_with_the_weights_beside_it_and_trained_by_nobody(tmp_path):
    file = tmp_path / "encoder.onnx"
    file.touch()
    onnx = {"network": "onnx", "file": str(file)}
    keras = {"network": "keras", "file": "encoder.keras"}
    fetched = {"network": "onnx", "address": "https://example.org/e", "sha256": 64 * "0"}
    asked = plan(experiments={"onnx": onnx, "keras": keras, "fetched": fetched})
    assert (asked.encoders("onnx"), asked.encoders("keras")) == (["onnx", "fetched"], ["keras"])
    assert asked.encoder_files("onnx") == [str(file)]
    (tmp_path / "encoder.onnx.data").touch()
    assert asked.encoder_files("onnx") == [str(file), f"{file}.data"]
    assert asked.encoder_files("fetched") == []
    assert below(asked.encoder("onnx"))[0] == "encoders/onnx/model.xml"
    assert below(asked.encoder("keras"))[0] == "encoders/keras/model.keras"
    assert asked.training_history("onnx") == []
    assert asked.pictures_of("onnx") == ()
    assert "encoders/onnx/encoder.record.json" in below(asked.upstream_records("onnx"))
    [rule] = asked.extraction_rules("encoder")
    assert rule.experiments == ["onnx", "keras", "fetched"]


def test_rows_are_kept_before_of_the_parts_that_a_network_learns_from():
    learned_from = ["training", "augmented", "validation"]
    assert below(plan().training_trunk("transfer")) == EXPORTED
    assert below(plan().training_rows("transfer")) == ROWS
    assert plan().training_rows("scratch") == plan().training_trunk("scratch") == []
    challenge = plan(challenge=CHALLENGE)
    assert [*challenge.trunk_manifests(TRUNK)] == learned_from
    untrained = plan(**changed("transfer", epochs=0))
    assert untrained.training_rows("transfer") == []
    assert untrained.trunk_manifests(TRUNK) == {}
    uncopied = plan(augmentation={"copies": 0})
    assert [*uncopied.trunk_manifests(TRUNK)] == ["training", "validation"]


def test_features_come_from_kept_rows_unless_pictures_are_seen_several_ways():
    assert below(plan().extraction_trunk("transfer")) == EXPORTED
    assert plan().extraction_trunk("scratch") == []
    viewed = plan(**changed("transfer", views={"flip": True}))
    assert viewed.extraction_trunk("transfer") == []
    assert below(viewed.training_trunk("transfer")) == EXPORTED


def test_vectors_are_extracted_of_the_parts_that_something_needs():
    searched = ["gallery", "query"]
    assert plan().parts("scratch") == searched
    assert plan().parts("hog") == ["training", "validation", *searched]
    assert plan().parts("sift") == ["validation", *searched]
    challenge = plan(challenge=CHALLENGE)
    assert challenge.parts("scratch") == [*searched, "challenge_gallery", "challenge_query"]
    fused = {"fusion": "concatenation", "of": ["scratch"], "reduction": {"method": "pca"}}
    assert plan(experiments={"scratch": NETWORK, "one": fused}).parts("scratch") == [
        *("training", *searched),
    ]


def test_one_rule_extracts_for_all_experiments_that_need_the_same_parts():
    (rule,) = plan().extraction_rules("network")
    assert (rule.suffix, rule.experiments, rule.shards) == ("", ["scratch", "transfer"], ())
    assert [*rule.outputs] == ["record", "gallery", "query"]
    assert below(rule.outputs["gallery"]) == three("features/{experiment}/gallery")
    (words,) = plan().extraction_rules("vocabulary")
    assert words.suffix == "__validation"
    (hog,) = plan().extraction_rules("descriptor")
    assert hog.suffix == "__training__validation"


def test_shards_write_a_record_each_and_go_before_the_job_that_writes_the_parts():
    whole, shard = plan(compute={"shards": 2}).extraction_rules("network")
    stem = "features/{experiment}/extraction"
    assert below(whole.shards) == [f"{stem}-{number}-of-2.record.json" for number in (0, 1)]
    assert whole.shard == (0, 1)
    assert below([*shard.outputs.values()]) == [f"{stem}-{{shard}}-of-2.record.json"]
    assert (shard.suffix, shard.shard) == ("__shard", (None, 2))
    (joined,) = plan(compute={"shards": 2}).extraction_rules("fused_vectors")
    assert (joined.shard, joined.shards) == ((0, 1), ())


def test_what_is_searched_is_reduced_where_an_experiment_says_so():
    assert below(plan().features("hog", "query")) == three("features/hog/query")
    assert below(plan().searched_features("hog", "query")) == three("reduced/hog/query")
    assert below(plan().searched_features("sift", "query")) == three("features/sift/query")
    members = three("reduced/hog/validation") + three("features/sift/validation")
    assert below(plan().member_features("both", "validation")) == members


def test_only_a_weighted_fusion_waits_on_validation():
    found = plan().weighed_by("both")
    assert below([found["learned_from"]]) == ["manifests/validation.csv"]
    assert found["members"] == plan().member_features("both", "validation")
    assert plan().weighed_by("side_by_side") == {}


def test_rankings_are_those_of_the_last_step_also_in_a_challenge():
    assert plan().ranking("hog") == "results/tiny/rankings/hog.csv"
    assert plan().ranking("sift") == "results/tiny/rankings/sift.verified.csv"
    challenged = plan(challenge={"folder": "c"})
    before = challenged.rankings("sift", before="geometric_verification")
    assert below(before) == ["rankings/sift.csv", "rankings/challenge/sift.csv"]
    members = ["hog.csv", "sift.verified.csv"]
    assert below(challenged.member_rankings("by_rank")) == [
        *(f"rankings/{name}" for name in members),
        *(f"rankings/challenge/{name}" for name in members),
    ]
    assert challenged.challenge_ranking("hog") == "results/tiny/rankings/challenge/hog.csv"


def test_of_experiments_that_differ_in_their_seed_only_the_first_is_explained():
    seeds = {f"scratch{seed}": {**NETWORK, "seed": seed} for seed in (7, 3, 5)}
    others = {"deeper": {**NETWORK, "seed": 3, "epochs": 9}, "hog": HOG}
    wanted = plan(
        experiments={**seeds, **others}, evaluation={"explanations": ["map", "similarity"]}
    )
    drawn = {name: wanted.pictures_of(name) for name in wanted.experiments}
    nothing, both = (), ("map", "similarity")
    assert [drawn[name] for name in seeds] == [both, nothing, nothing]
    assert (drawn["deeper"], drawn["hog"]) == (both, ("map",))
    assert wanted.explanations("scratch3") == []
    assert wanted.evaluations == {
        "__network__map": ["scratch7", "deeper"],
        "__network": ["scratch3", "scratch5"],
        "__map": ["hog"],
    }


def test_an_experiment_is_explained_by_what_it_has():
    assert below(plan().explanations("sift")) == [
        "vocabularies/sift.png",
        "rankings/sift.matches.png",
    ]
    wanted = plan(evaluation={"explanations": ["map", "similarity"]})
    assert below(wanted.explanations("scratch")) == ["evaluation/scratch/similarity.png"]
    assert wanted.explanations("hog") == wanted.explanations("by_rank") == []
    assert "by_rank" in wanted.evaluations[""]
    assert {*plan().evaluations} == {"", "__network"}
    assert plan().training_history("scratch") == "results/tiny/models/scratch/history.csv"
    assert plan().training_history("hog") == []


DATA = [f"manifests/{name}" for name in ("originals", "gallery", "query", "split")]


HOGS = ["reductions/hog", "features/hog/extraction", "reduced/hog/reduction"]
SIFTS = ["vocabularies/sift", "features/sift/extraction"]


@pytest.mark.parametrize(
    ("experiment", "expected"),
    [
        ("hog", [*HOGS, "rankings/hog"]),
        ("sift", [*SIFTS, "rankings/sift", "rankings/sift.verified"]),
        (
            "scratch",
            [
                *("manifests/augmented", "models/scratch/training"),
                *("features/scratch/extraction", "rankings/scratch"),
            ],
        ),
        (
            "transfer",
            [
                *("manifests/augmented", "weights/MobileNetV2-random"),
                f"trunks/{TRUNK}/training",
                "models/transfer/training",
                *("features/transfer/extraction", "rankings/transfer"),
            ],
        ),
        ("both", [*HOGS, *SIFTS, "features/both/extraction", "rankings/both"]),
        (
            "by_rank",
            [
                *(*HOGS, "rankings/hog", *SIFTS, "rankings/sift"),
                *("rankings/sift.verified", "rankings/by_rank"),
            ],
        ),
    ],
)
def test_an_accuracy_rests_on_the_records_of_every_job_before_it(experiment, expected):
    records = below(plan().upstream_records(experiment))
    assert records == [f"{name}.record.json" for name in DATA + expected]


def test_what_is_embedded_is_drawn_where_it_is_imported():
    drawn = dataset(folder=None, embedded={"training_per_class": 4})
    assert plan(**drawn).embedded("source").training_per_class == 4
    assert plan(**drawn).embedded("challenge") is None
    assert plan(challenge=CHALLENGE).embedded("challenge").gallery_per_class > 0
    assert below(plan(**drawn).upstream_records("hog"))[0] == "manifests/source.record.json"


def test_data_that_was_made_here_has_a_record_too():
    extended = dataset(folder=None, archive=ARCHIVE, extend={"pool": "more", "per_class": 9})
    records = below(plan(**extended).upstream_records("hog"))
    assert records[:2] == ["source.record.json", "manifests/source.record.json"]
    assert {"manifests/pool.record.json", "manifests/extended_training.record.json"} < set(records)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([], ["scratch", "transfer", "hog", "both", "side_by_side"]),
        (["best"], ["scratch", "transfer", "hog", "both", "side_by_side"]),
        (["hog"], ["hog"]),
        (["hog", "best"], ["hog", "scratch", "transfer", "both", "side_by_side"]),
    ],
)
def test_what_may_be_registered_is_what_was_named_and_all_that_can_be_the_best(asked, expected):
    registering = plan(registry={"experiments": asked})
    assert registering.registered == expected
    assert registering.registered_names == (asked or ["best"])
    files = registering.model_files
    assert len(files) == len(set(files))
    assert {f"results/tiny/reductions/{name}.npz" for name in ["hog"]} <= set(files)


@pytest.mark.parametrize(
    ("rows", "protocol", "domains", "asked"),
    [
        (["query,photo", "gallery,"], "gallery_and_query", ["domains.csv"], "query"),
        (["query,", "gallery,photo"], "gallery_and_query", [], "query"),
        (["query,", "gallery,photo"], "leave_one_out", ["domains.csv"], "gallery"),
        ([",photo"], "gallery_and_query", ["domains.csv"], "originals"),
        ([","], "gallery_and_query", [], "originals"),
    ],
)
def test_domains_are_stated_where_the_table_names_some_of_the_part_that_asks(
    tmp_path, rows, protocol, domains, asked
):
    table = tmp_path / "table.csv"
    lines = ["path,part,domain", *(f"{number}.png,{row}" for number, row in enumerate(rows))]
    table.write_text("\n".join(lines))
    given = {"dataset": {"name": "tiny", "table": str(table)}, "evaluation": {"protocol": protocol}}
    planned = plan(**given)
    assert below([planned.domains] if planned.domains else []) == domains
    assert planned.asked_part == asked
    assert ("domains" in planned.data_outputs()) == bool(domains)
