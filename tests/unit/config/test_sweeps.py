"""Sweeps: which experiments a list of values stands for, what they are called, and their groups."""

import copy
import itertools
import random
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.config.completion import ConfigurationError, check, complete
from gallerist.config.schema import json_schema
from gallerist.config.sweeps import LARGEST, LONGEST_NAME, expand
from gallerist.config.warnings import find_warnings
from gallerist.settings.base import key
from gallerist.settings.configuration import Configuration
from gallerist.settings.networks import Scratch
from gallerist.workflow.seeds import groups

[NAMES] = json_schema(Configuration)["properties"]["experiments"]["patternProperties"]
SCRATCH_KEYS = list(Scratch.model_fields)


def configured(**experiments: Any) -> dict[str, Any]:
    return {"dataset": {"name": "tiny", "embedded": {}}, "experiments": experiments}


def scratch(**keys: Any) -> dict[str, Any]:
    return {"network": "scratch", **keys}


def transfer(**keys: Any) -> dict[str, Any]:
    return {"network": "transfer", "backbone": "ResNet50", **keys}


def expanded(**experiments: Any) -> dict[str, Any]:
    expansion = expand(configured(**experiments))
    assert expansion.problems == {}
    return expansion.config["experiments"]


def problems(**experiments: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        complete(configured(**experiments))
    return list(caught.value.problems)


# What a sweep stands for


def test_lists_stand_for_every_combination_of_their_values():
    made = expanded(net=transfer(epochs=[10, 50], seed=[1, 2, 3]), other=scratch())
    assert made == {
        "net-epochs10-seed1": transfer(epochs=10, seed=1),
        "net-epochs10-seed2": transfer(epochs=10, seed=2),
        "net-epochs10-seed3": transfer(epochs=10, seed=3),
        "net-epochs50-seed1": transfer(epochs=50, seed=1),
        "net-epochs50-seed2": transfer(epochs=50, seed=2),
        "net-epochs50-seed3": transfer(epochs=50, seed=3),
        "other": scratch(),
    }
    assert list(made)[-1] == "other"


def test_a_list_inside_a_group_of_settings_and_a_list_of_groups_are_tried_too():
    made = expanded(net=scratch(early_stopping=[None, {"patience": [3, 7]}, {}]))
    assert made == {
        "net-early_stopping_null": scratch(early_stopping=None),
        "net-early_stopping_patience3": scratch(early_stopping={"patience": 3}),
        "net-early_stopping_patience7": scratch(early_stopping={"patience": 7}),
        "net-early_stopping_defaults": scratch(early_stopping={}),
    }
    inside = expanded(net=scratch(early_stopping={"patience": [3, 7]}))
    assert inside.items() <= made.items()


def test_even_the_kind_of_network_can_be_tried():
    made = expanded(net={"network": ["transfer", "scratch"], "epochs": [1, 2]})
    assert list(made) == [
        "net-transfer-epochs1",
        "net-transfer-epochs2",
        "net-scratch-epochs1",
        "net-scratch-epochs2",
    ]
    assert made["net-scratch-epochs2"] == scratch(epochs=2)


def test_a_list_of_one_value_names_it():
    assert expanded(net=scratch(seed=[7])) == {"net-seed7": scratch(seed=7)}


def test_an_entry_without_a_list_stays_as_it_is():
    assert expanded(net=scratch(seed=7)) == {"net": scratch(seed=7)}


class Cropped(Scratch):
    """The small network with a key whose value is a list."""

    crops: list[int] | None = key(None, doc="Numbers.")


class WithCrops(Configuration):
    """A configuration of such networks."""

    experiments: dict[str, Cropped] = key(..., doc="What is compared.")


def test_a_key_whose_value_is_a_list_is_not_tried_value_by_value():
    config = configured(net=scratch(crops=[1, 2], seed=[3, 4]))
    assert expand(config, WithCrops).config["experiments"] == {
        "net-seed3": scratch(crops=[1, 2], seed=3),
        "net-seed4": scratch(crops=[1, 2], seed=4),
    }


def test_another_value_in_a_list_leaves_the_names_of_the_others():
    before = expanded(net=scratch(learning_rate=[0.1, 1e-5], seed=[1, 2]))
    after = expanded(net=scratch(learning_rate=[1e-3, 0.1, 1e-5], seed=[2, 3, 1]))
    assert before.items() <= after.items()


def test_the_configuration_that_was_given_is_not_changed():
    config = configured(net=scratch(early_stopping=[None, {"patience": [3, 7]}]))
    before = copy.deepcopy(config)
    expand(config)
    complete(config)
    assert config == before


# Names


@pytest.mark.parametrize(
    ("key", "values", "labels"),
    [
        ("backbone", ["ResNet50", "MobileNetV2"], ["ResNet50", "MobileNetV2"]),
        ("head", ["published", "standard"], ["head_published", "head_standard"]),
        ("augmented", [True, False], ["augmented_true", "augmented_false"]),
        ("learning_rate", [1e-5, 0.0001], ["learning_rate1e-5", "learning_rate1e-4"]),
        ("learning_rate", [0.0025, 0.003, 1], ["learning_rate0.0025", "learning_rate3e-3"]),
        ("dropout", [0, 0.5, 0.25], ["dropout0", "dropout0.5", "dropout0.25"]),
        ("l2", [0.0, 0.01, 1e-4], ["l2_0", "l2_0.01", "l2_1e-4"]),
        ("seed", [0, 4294967295], ["seed0", "seed4294967295"]),
        ("epochs", [2.0, 3], ["epochs2", "epochs3"]),
        ("early_stopping", [None], ["early_stopping_null"]),
        (
            "early_stopping",
            [{"patience": 3, "min_delta": 0.05}],
            ["early_stopping_min_delta0.05_patience3"],
        ),
        (
            "weights",
            ["auto", "models/dogs 2.weights.h5", "cats.keras"],
            ["weights_auto", "weights_dogs_2", "weights_cats"],
        ),
    ],
)
def test_a_name_shows_the_values_that_were_listed(key, values, labels):
    made = expanded(net=transfer(**{key: values}))
    assert [settings_[key] for settings_ in made.values()] == values
    assert list(made)[: len(labels)] == [f"net-{label}" for label in labels]


def test_files_of_one_name_in_two_folders_are_distinguished():
    one, other = expanded(net=transfer(weights=["a/net.h5", "b/net.h5"]))
    assert one != other
    assert re.fullmatch(r"net-weights_net_[0-9a-f]{6}", one)
    assert one in expanded(net=transfer(weights=["b/net.h5", "a/net.h5", "auto"]))


def test_names_are_distinguished_on_a_disk_that_ignores_capitals():
    made = expanded(net=transfer(freeze_until=["Block7", "block7"]))
    assert len({name.lower() for name in made}) == 2


def test_a_long_name_is_cut_and_still_its_own():
    keys = {"early_stopping": [{"patience": 3, "min_delta": 0.125}], "l1": [1.23456e-7]}
    keys |= {"restore_best_weights": [True], "reduce_learning_rate": [None], "l2": [1.1e-7, 1.2e-7]}
    names = list(expanded(net=scratch(**keys)))
    assert len(set(names)) == 2
    assert all(len(name) <= LONGEST_NAME and re.fullmatch(NAMES, name) for name in names)


def test_equal_numbers_have_one_name_however_they_are_written():
    one = yaml.safe_load("{network: scratch, learning_rate: [0.00010, 1.0e-3], epochs: [5]}")
    other = yaml.safe_load("{epochs: [5.0], learning_rate: [1.0e-4, 0.001], network: scratch}")
    assert list(expanded(net=one)) == list(expanded(net=other))


# Messages


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"epochs": []}, "experiments.net.epochs: an empty list. Give it a value, or leave"),
        ({"epochs": [5, 5.0]}, "experiments.net.epochs[1]: is the same as the list's value [0]."),
        (
            {"early_stopping": [{}, None, {"patience": 5}]},
            "experiments.net.early_stopping[2]: has the same settings as the list's value [0].",
        ),
        (
            {"seed": list(range(LARGEST + 1))},
            f"experiments.net.seed: {LARGEST + 1} experiments, but one entry may make {LARGEST} ",
        ),
        (
            {"seed": list(range(100)), "epochs": list(range(10, 31)), "l1": [0]},
            "experiments.net: epochs (21) x seed (100) = 2100 experiments, but one entry may make ",
        ),
        ({"seed": [1, 2], "epochs": [3, -1]}, "experiments.net.epochs[1]: found -1, expected a "),
        ({"seed": [1, 2], "epochs": "x"}, "experiments.net.epochs: found 'x', expected a whole "),
        ({"seed": [1, 2], "epoch": [3, 4]}, "experiments.net.epoch: unknown key. Did you mean "),
        ({"epochs": [[1, 2], 3]}, "experiments.net.epochs[0]: found [1, 2], expected a whole "),
        (
            {"seed": [1, 2], "early_stopping": [None, {"patience": [3, -1]}]},
            "experiments.net.early_stopping[1].patience[1]: found -1, expected a whole number",
        ),
        (
            {"seed": [1, 2], "early_stopping": [None, {"patience": []}]},
            "experiments.net.early_stopping[1].patience: an empty list.",
        ),
        ({"image_size": [64, 96]}, "experiments.net.image_size[0]: found 64. Without padding"),
        ({"network": ["scrach"]}, "experiments.net.network[0]: 'scrach' is not a kind of network."),
    ],
)
def test_one_mistake_is_reported_once_where_it_was_written(keys, line):
    [problem] = problems(net=scratch(**keys))
    assert problem.startswith(line)


def test_a_name_that_is_no_name_is_reported_as_it_was_written():
    [problem] = problems(**{"a b": scratch(seed=[1, 2])})
    assert problem.startswith("experiments.'a b': not a possible name.")


@pytest.mark.parametrize("turn", [1, -1])
def test_a_sweep_must_not_make_an_experiment_that_is_there_already(turn):
    entries = [("net", scratch(seed=[1, 2])), ("net-seed1", scratch())][::turn]
    assert problems(**dict(entries)) == [
        "experiments.net: its lists make an experiment net-seed1, but another one has this name. "
        "Rename one of the two."
    ]
    entries = [("net", scratch(epochs=[1], seed=[1, 2])), ("net-epochs1", scratch(seed=[2]))]
    [problem] = problems(**dict(entries[::turn]))
    assert "net-epochs1-seed2" in problem


def test_a_list_that_stands_elsewhere_is_reported_where_it_could_stand():
    config = configured(net=scratch())
    config["augmentation"] = {"copies": [1, 5]}
    with pytest.raises(ConfigurationError) as caught:
        complete(config)
    assert caught.value.problems == (
        "augmentation.copies: found [1, 5], expected a whole number of at least 0. "
        "Only the keys of an experiment take a list of values to try.",
    )


def test_what_a_whole_sweep_does_wrong_is_noticed_in_one_line():
    config = configured(
        net=transfer(weights="random", freeze_until="everything", seed=[1, 2, 3, 4])
    )
    assert find_warnings(check(config)) == [
        "experiments.net-seed1, experiments.net-seed2, experiments.net-seed3 and 1 more: "
        "the backbone is random and none of it is trained"
    ]


@pytest.mark.parametrize("config", [None, [], {}, {"experiments": [1]}, {"experiments": {1: []}}])
def test_what_is_no_configuration_stays_as_it_is(config):
    assert expand(config).config == config


# Whatever is listed

WHOLE = st.integers(0, 300)
POOLS: dict[str, st.SearchStrategy[Any]] = {
    "image_size": st.integers(73, 1024),
    "padding": st.sampled_from(["valid", "same"]),
    "head": st.sampled_from(["published", "standard"]),
    "dropout": st.floats(0, 0.999),
    "l2": st.floats(0, 1e9),
    "augmented": st.booleans(),
    "learning_rate": st.floats(1e-300, 1e300),
    "epochs": WHOLE,
    "early_stopping": st.sampled_from([None, {}, {"patience": 2}, {"min_delta": 0.5}]),
    "reduce_learning_rate": st.fixed_dictionaries({"factor": st.floats(0.001, 0.999)}),
    "seed": st.integers(0, 2**32 - 1),
}


@st.composite
def swept(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Draw settings, and for some of their keys lists of up to three values."""
    keys = draw(st.lists(st.sampled_from(sorted(POOLS)), unique=True, max_size=5))
    lists = draw(st.lists(st.sampled_from(keys), unique=True, max_size=4)) if keys else []
    single = {key: draw(POOLS[key]) for key in keys if key not in lists}
    listed = {
        key: draw(st.lists(POOLS[key], min_size=1, max_size=3, unique_by=repr)) for key in lists
    }
    return scratch(**single), listed


@settings(max_examples=80, deadline=None)
@given(swept(), st.randoms())
def test_a_sweep_is_the_product_of_its_lists_in_an_order_and_with_names_of_its_own(
    drawn: tuple[dict[str, Any], dict[str, list[Any]]], chance: random.Random
):
    single, listed = drawn
    entry = {**single, **listed}
    made = expanded(net=entry)
    keys = sorted(listed, key=SCRATCH_KEYS.index)
    combinations = itertools.product(*(listed[key] for key in keys))
    assert list(made.values()) == [
        {**single, **dict(zip(keys, c, strict=True))} for c in combinations
    ]
    assert len({name.lower() for name in made}) == len(made)
    assert all(re.fullmatch(NAMES, name) and len(name) <= LONGEST_NAME for name in made)
    assert expand(configured(**made)).config == configured(**made)
    shuffled = list(entry.items())
    chance.shuffle(shuffled)
    assert list(expanded(net=dict(shuffled)).items()) == list(made.items())


@settings(max_examples=20, deadline=None)
@given(swept())
def test_a_completed_sweep_is_its_own_completion_and_holds_no_list(
    drawn: tuple[dict[str, Any], dict[str, list[Any]]],
):
    single, listed = drawn
    whole = complete(configured(net={**single, **listed}))
    assert complete(whole) == whole
    by_hand = complete(configured(**expanded(net={**single, **listed})))
    assert by_hand == whole
    assert not any(
        isinstance(value, list) for e in whole["experiments"].values() for value in e.values()
    )


# Groups over seeds


def grouped(**experiments: Any) -> dict[str, list[str]]:
    return groups(check(configured(**experiments)).experiments)


def test_experiments_that_differ_in_nothing_but_the_seed_are_a_group():
    made = grouped(net=scratch(epochs=[3, 4], seed=[1, 10]), alone=scratch(epochs=9))
    assert made == {
        "net-epochs3": ["net-epochs3-seed1", "net-epochs3-seed10"],
        "net-epochs4": ["net-epochs4-seed1", "net-epochs4-seed10"],
        "alone": ["alone"],
    }


def test_experiments_written_by_hand_are_grouped_by_what_they_say():
    made = grouped(
        big1=scratch(seed=1),
        small=scratch(epochs=2),
        big2=scratch(seed=2, epochs=50),  # 50 is the default
        net_seed_5=transfer(seed=5),
        net_seed_15=transfer(seed=15),
        deep_red=scratch(epochs=7, seed=1),
        deep_blue=scratch(epochs=7, seed=2),
        cat=scratch(epochs=8, seed=1),
        dog=scratch(epochs=8, seed=2),
        hen=scratch(epochs=8, seed=3),
    )
    assert made == {
        "big": ["big1", "big2"],
        "small": ["small"],
        "net": ["net_seed_5", "net_seed_15"],
        "deep": ["deep_red", "deep_blue"],
        "cat_and_2_more": ["cat", "dog", "hen"],
    }


def test_two_groups_never_share_a_name_nor_take_that_of_another_experiment():
    made = grouped(
        net1=scratch(seed=1),
        net2=scratch(seed=2),
        net_1=scratch(seed=1, epochs=3),
        net_2=scratch(seed=2, epochs=3),
        run=scratch(epochs=4),
        run1=scratch(seed=1, epochs=5),
        run2=scratch(seed=2, epochs=5),
    )
    assert made == {
        "net": ["net1", "net2"],
        "net_1_and_1_more": ["net_1", "net_2"],
        "run": ["run"],
        "run1_and_1_more": ["run1", "run2"],
    }


def test_the_same_seed_twice_counts_once():
    made = grouped(one=scratch(seed=1), again=scratch(seed=1), two=scratch(seed=2))
    assert list(made.values()) == [["one", "two"]]


def test_an_experiment_without_a_seed_is_alone():
    assert grouped(a={"descriptor": "hog"}, b={"descriptor": "gabor"}) == {"a": ["a"], "b": ["b"]}


@settings(max_examples=30, deadline=None)
@given(swept(), st.lists(WHOLE, unique=True, min_size=1, max_size=3))
def test_a_sweep_over_seeds_has_a_group_for_every_combination_of_the_rest(
    drawn: tuple[dict[str, Any], dict[str, list[Any]]], seeds: list[int]
):
    entry = {**drawn[0], **drawn[1], "seed": 5}
    rest, made = expanded(net=entry), expanded(net={**entry, "seed": seeds})
    found = grouped(**made)
    assert len(found) == len(rest)
    assert sorted(itertools.chain(*found.values())) == sorted(made)
    for names in found.values():
        assert [made[name]["seed"] for name in names] == seeds
        assert len({repr({**made[name], "seed": 0}) for name in names}) == 1
