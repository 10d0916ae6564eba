"""The registry in a real MLflow store: versions, the champion, and a folder that moves."""

import json
import shutil
from dataclasses import replace

import mlflow
import pytest
from mlflow import MlflowClient
from small_gallery import HOG, small_gallery

from gallerist.serving.registry import register
from gallerist.tracking.store import artifact_root_of, follow_move, prepare, resolve_uri
from gallerist.workflow.experiments import NotSearchable

NAMES = ["small", "small/stages"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Results without experiments, and an MLflow store, which takes seconds to set up."""
    small = small_gallery(tmp_path_factory.mktemp("prepared") / "results")
    uri = resolve_uri(None, small.root)
    prepare(uri, artifact_root_of(uri, small.root), NAMES)
    return small


@pytest.fixture
def small(prepared, tmp_path):
    """A copy to add experiments to."""
    root = tmp_path / "results"
    shutil.copytree(prepared.root, root)
    uri = resolve_uri(None, root)
    follow_move(uri, artifact_root_of(uri, root), NAMES)
    return replace(prepared, root=root, config={**prepared.config, "experiments": {}})


def client_of(small):
    return MlflowClient(tracking_uri=resolve_uri(None, small.root))


def champion(small):
    """The experiment that has the alias."""
    version = client_of(small).get_model_version_by_alias("small", "champion")
    return version.tags["gallerist.experiment"]


def registered(small, *names, **options):
    return register(small.config, names, root=small.root, **options)


def test_one_is_registered_once_from_the_run_of_its_row(small):
    small.add_experiment("first", [1] * 2 + [0] * 8)
    (found,) = registered(small, "first")
    assert (found.name, found.version, found.new, found.champion) == ("small", "1", True, True)
    (again,) = registered(small, "first")
    assert (again.version, again.new, again.digest) == ("1", False, found.digest)
    assert again.reason == "first (version 1) is champion already"

    client = client_of(small)
    (version,) = client.search_model_versions("name = 'small'")
    run = client.get_run(version.run_id)
    assert run.data.tags["gallerist.experiment"] == "first"
    assert client.get_experiment(run.info.experiment_id).name == "small"
    assert version.tags["gallerist.query_digest"] == small.queries.digest
    assert version.tags["licence.code"] == "MIT"
    model = client.get_logged_model(version.tags["gallerist.logged_model"])
    assert model.source_run_id == version.run_id
    assert model.artifact_location == version.source
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "small", "version": 1}]


def test_the_alias_moves_to_what_is_really_better_and_to_nothing_else(small):
    small.add_experiment("first", [1] * 2 + [0] * 8)
    small.add_experiment("lucky", [1] * 7 + [0] * 3)  # 5 ahead: p = 2 / 2^5 = .0625
    small.add_experiment("better", [1] * 8 + [0] * 2)  # 6 ahead: p = 2 / 2^6 = .03125
    registered(small, "first")
    (lucky,) = registered(small, "lucky")
    assert not lucky.champion
    assert "first (version 1) stays champion" in lucky.reason
    assert champion(small) == "first"
    (better,) = registered(small, "better")
    assert better.champion
    assert champion(small) == "better"
    tags = client_of(small).get_model_version("small", better.version).tags
    assert "better than first (version 1) by top-1, +0.6000" in tags["gallerist.reason"]
    (chosen,) = registered(small, "first", as_champion=True)
    assert chosen.champion
    assert champion(small) == "first"


def test_a_champion_is_compared_as_it_was_registered_not_by_what_the_results_say_now(small):
    small.add_experiment("old", [0] * 10)
    registered(small, "old")
    rows = small.results.folder / "evaluation/old/queries.csv"
    rows.write_text(rows.read_text().replace(",2,0", ",1,1"))  # as if all had been right
    small.add_experiment("new", [1] * 10)
    (new,) = registered(small, "new")
    assert new.champion


def test_by_default_the_best_is_registered_that_can_be(small):
    small.add_experiment("poor", [0] * 10)
    small.add_experiment("good", [1] * 9 + [0])
    small.add_experiment("reordered", [1] * 10, {**HOG, "k_reciprocal": {"k1": 3}})
    (found,) = register(small.config, root=small.root)
    assert found.experiment == "good"
    with pytest.raises(NotSearchable, match="reordered orders its answers again"):
        registered(small, "reordered")


def test_an_unknown_experiment_is_named(small):
    small.add_experiment("good", [1] * 10)
    with pytest.raises(ValueError, match="no experiment is called gut; there are: good"):
        registered(small, "gut")


def test_a_moved_folder_keeps_its_models(small, tmp_path):
    small.add_experiment("good", [1] * 10)
    registered(small, "good")
    moved = small.root.rename(tmp_path / "elsewhere")
    uri = resolve_uri(None, moved)
    follow_move(uri, artifact_root_of(uri, moved), NAMES)
    client = MlflowClient(tracking_uri=uri)
    version = client.get_model_version_by_alias("small", "champion")
    place = client.get_model_version_download_uri("small", version.version)
    assert place.startswith(moved.as_uri())
    model = client.get_logged_model(version.tags["gallerist.logged_model"])
    assert model.artifact_location == place
    assert mlflow.pyfunc.load_model(place).metadata.metadata["experiment"] == "good"
