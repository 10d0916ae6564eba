"""The models of the settings: what goes in as JSON comes out as the same text."""

import pytest
import yaml
from checkout import CHECKOUT
from pydantic import TypeAdapter, ValidationError

from gallerist.config.completion import check, complete
from gallerist.config.schema import kinds
from gallerist.io.files import canonical_json
from gallerist.settings.augmentation import Augmentation
from gallerist.settings.configuration import Configuration, Experiment
from gallerist.settings.networks import Scratch, Transfer, read_network
from gallerist.settings.ranking import RankedByVectors, Search

CONFIG = yaml.safe_load((CHECKOUT / "config" / "config.yaml").read_text(encoding="utf-8"))
WHOLE = complete(CONFIG)


@pytest.mark.parametrize("section", [each for each in WHOLE if each != "experiments"])
def test_a_section_read_from_the_json_of_a_rule_is_written_as_the_same_text(section):
    model = type(getattr(check(CONFIG), section))
    text = canonical_json(WHOLE[section])
    read = model.model_validate_json(text)
    assert canonical_json(read.model_dump()) == text
    assert repr(read.model_dump()) == repr(WHOLE[section])  # types and order too
    assert read == getattr(check(CONFIG), section)


@pytest.mark.parametrize("name", WHOLE["experiments"])
def test_an_experiment_read_from_the_json_of_a_rule_is_written_as_the_same_text(name):
    text = canonical_json(WHOLE["experiments"][name])
    read = TypeAdapter(Experiment).validate_json(text)
    assert canonical_json(read.model_dump()) == text
    assert repr(read.model_dump()) == repr(WHOLE["experiments"][name])
    assert read == check(CONFIG).experiments[name]


def test_a_network_is_read_as_the_kind_that_it_names_with_every_default():
    assert read_network(network="scratch") == Scratch(network="scratch")
    net = read_network(network="transfer", backbone="ResNet50", epochs=3)
    assert isinstance(net, Transfer)
    assert (net.epochs, net.learning_rate, net.search) == (3, 1e-5, Search())
    with pytest.raises(ValidationError, match="backbone"):
        read_network(network="transfer")


def test_the_keys_that_all_share_stand_after_an_experiments_own():
    shared = list(RankedByVectors.model_fields)
    for models in kinds(Configuration).values():
        for model in models.values():
            if issubclass(model, RankedByVectors):
                assert list(model.model_fields)[-len(shared) :] == shared, model


def test_settings_are_frozen_and_refuse_what_they_do_not_know():
    settings = Augmentation()
    with pytest.raises(ValidationError, match="frozen"):
        settings.copies = 3
    with pytest.raises(ValidationError, match="copy"):
        Augmentation(copy=3)
    with pytest.raises(ValidationError, match="copies"):
        Augmentation(copies="3")


def test_nothing_on_the_disk_is_asked_for_unless_a_configuration_is_checked():
    gone = {**WHOLE["dataset"], "folder": "no/such/folder"}
    model = type(check(CONFIG).dataset)
    assert model.model_validate(gone).folder == "no/such/folder"
