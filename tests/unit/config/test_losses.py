"""The key `loss` of an experiment: its short form, its groups, lists of it, and what is wrong."""

import pytest

from gallerist.config.completion import ConfigurationError, complete


def experiments(**keys):
    config = {
        "dataset": {"name": "pictures", "embedded": {}},
        "experiments": {"net": {"network": "transfer", "backbone": "EfficientNetLite2", **keys}},
    }
    return complete(config)["experiments"]


def test_classification_is_the_absence_of_the_key():
    plain = experiments()
    assert "loss" not in plain["net"]
    assert experiments(loss="classification") == experiments(loss=None) == plain


def test_a_name_stands_for_a_group_with_the_papers_values():
    found = experiments(loss="arcface", freeze_until="block7")["net"]
    assert found["loss"] == {
        **{"name": "arcface", "judged_by": "mAP@R", "pictures_per_class": None},
        **{"projection": None, "margin": 0.5, "scale": 64.0},
    }
    assert found["early_stopping"] == {"min_delta": 0.0, "patience": 3}
    asked = {"name": "arcface", "margin": 0.3}
    assert experiments(loss=asked, freeze_until="block7")["net"]["loss"]["margin"] == 0.3
    own = experiments(loss="arcface", freeze_until="block7", early_stopping={"min_delta": 0.01})
    assert own["net"]["early_stopping"]["min_delta"] == 0.01


def test_lists_of_losses_and_of_their_keys_are_experiments_of_their_own():
    losses = ["classification", "triplet", {"name": "arcface", "margin": [0.3, 0.5]}]
    found = experiments(loss=losses, freeze_until="block7")
    assert list(found) == [
        *("net-loss_classification", "net-loss_triplet"),
        *("net-loss_arcface_margin0.3", "net-loss_arcface_margin0.5"),
    ]
    assert complete({"dataset": {"name": "x", "embedded": {}}, "experiments": found})[
        "experiments"
    ] == found  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"loss": "tripplet"}, "net.loss: 'tripplet' is not a loss. Did you mean triplet? Known:"),
        ({"loss": {"margin": 1}}, "net.loss.name: missing. Known: triplet, "),
        ({"loss": 5}, "net.loss: found 5, expected one of classification, triplet, "),
        ({"loss": {"name": "triplet", "scale": 3}}, "net.loss.scale: unknown key. Known: name, "),
        ({"loss": {"name": "cosface", "margin": -1}}, "net.loss.margin: found -1, expected a numb"),
        ({"loss": ["triplet", {"name": "triplet"}]}, "net.loss[1]: has the same settings as"),
        ({"loss": "triplet", "batch_size": 18}, "net.batch_size: 18 is no multiple of the 4 pict"),
        ({"loss": "supcon", "freeze_until": "everything"}, "net.loss: nothing that makes the vect"),
    ],
)
def test_what_is_wrong_is_said_at_its_key(keys, problem):
    with pytest.raises(ConfigurationError) as error:
        experiments(**{"freeze_until": "block7", **keys})
    [line] = error.value.problems
    assert line.startswith(f"experiments.{problem}")


def test_a_linear_projection_or_a_learned_pooling_is_enough_to_train():
    experiments(loss={"name": "triplet", "projection": 64}, freeze_until="everything")
    experiments(loss="triplet", freeze_until="everything", pooling="gem")
