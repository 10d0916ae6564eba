"""The MLflow store: found, set up once however many try; passwords of addresses, never repeated."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import requests
from tracked import Runs, a_record, environment, refreshed, store_in, wait_for

from gallerist.config.completion import ConfigurationError, complete
from gallerist.records.history import History
from gallerist.records.record import Artifact, write_record
from gallerist.tracking.pruning import prune
from gallerist.tracking.store import (
    Store,
    TrackingError,
    artifact_root_of,
    configured_store,
    database_path,
    hide_passwords,
    holds_password,
    prepare,
    resolve_uri,
    separated,
)

SECRET = "s3cret"


def test_the_configured_store_wins_then_the_environment_then_sqlite(monkeypatch, tmp_path):
    assert resolve_uri(None, tmp_path) == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert resolve_uri(None, tmp_path) == "http://there:5000"
    assert resolve_uri("sqlite:///mine.db", tmp_path) == "sqlite:///mine.db"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    assert resolve_uri(None, "results") == f"sqlite:///{tmp_path}/results/mlflow/mlflow.db"


def test_the_store_of_a_configuration_has_its_patience(tmp_path):
    config = {"tracking": {"uri": "http://there:5000", "patience": 7}}
    assert configured_store(config, tmp_path) == Store("http://there:5000", None, 7)


@pytest.mark.parametrize("folder", ["mlruns", "/data/mlruns", "file:///data/mlruns"])
def test_a_plain_folder_is_refused_with_the_way_out(tmp_path, folder):
    with pytest.raises(TrackingError, match=r"tracking\.uri is .*sqlite:///"):
        resolve_uri(folder, tmp_path)


def test_a_server_keeps_its_own_artifacts(tmp_path):
    assert artifact_root_of("http://there:5000", tmp_path) is None
    postgres = "postgresql://there/db"
    assert artifact_root_of(postgres, tmp_path) == f"file://{tmp_path}/mlflow/artifacts"


def test_all_who_use_an_sqlite_file_keep_their_artifacts_beside_it(tmp_path):
    uri = resolve_uri(None, tmp_path / "one/results")
    place = f"file://{tmp_path}/one/results/mlflow/artifacts"
    assert artifact_root_of(uri, tmp_path / "one/results") == place
    assert artifact_root_of(uri, tmp_path / "two/results") == place


def shown_in(store, dataset):
    """The folders of the artifacts of a data set's runs, oldest first."""
    with closing(sqlite3.connect(database_path(store.uri))) as connection:
        question = (
            "SELECT r.artifact_uri FROM runs r JOIN experiments USING (experiment_id) "
            "WHERE experiments.name = ? ORDER BY r.start_time"
        )
        rows = connection.execute(question, [dataset]).fetchall()
    return [Path(place.removeprefix("file://")) for (place,) in rows]


@pytest.fixture
def shared(tmp_path):
    """Two checkouts that show a data set of one name in one SQLite file; the store of each."""
    uri = f"sqlite:///{tmp_path}/shared/runs.db"
    results = [tmp_path / name / "results" for name in ("one", "two")]
    return [(each, Store(uri, artifact_root_of(uri, each))) for each in results]


def execute(results, number):
    """One execution of one job, whose record and picture replace those of the one before."""
    picture = results / "mine/picture.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(f"{results} {number}".encode())
    moment = f"2026-01-01T1{number}:00:00.000+00:00"
    record = a_record(
        "mine", started=moment, finished=moment, artifacts=(Artifact(str(picture), "pictures"),)
    )
    History(results / "mine").keep(record)
    write_record(results / "mine/a.record.json", record)
    return picture.read_bytes()


def test_two_checkouts_with_one_store_keep_each_others_pictures(shared):
    expected = []
    for number, (results, store) in enumerate([*shared, *shared]):
        expected.append(execute(results, number))
        assert refreshed(store, "mine", results / "mine") == 1
    for results, store in shared:
        assert refreshed(store, "mine", results / "mine") == 0
        folders = shown_in(store, "mine/stages")
        assert [(each / "pictures/picture.png").read_bytes() for each in folders] == expected


@pytest.mark.slow
def test_pruning_leaves_what_another_checkout_shows(shared):
    (one, store), (two, _) = shared
    pictures = [execute(one, 0), execute(two, 1), execute(two, 2)]
    refreshed(store, "mine", one / "mine")
    refreshed(store, "mine", two / "mine")
    execute(two, 3)
    prune(store, "mine", two / "mine")
    found = [each / "pictures/picture.png" for each in shown_in(store, "mine/stages")]
    assert pictures[0] in [each.read_bytes() for each in found]
    assert pictures[1] not in [each.read_bytes() for each in found]


def test_pictures_of_before_that_lie_elsewhere_are_left_there(tmp_path):
    """As where a checkout kept them among its results, beside a store of its own choice."""
    uri, old = f"sqlite:///{tmp_path}/shared/runs.db", tmp_path / "one/results/mlflow/artifacts"
    store = Store(uri, artifact_root_of(uri, tmp_path / "one/results"))
    picture = execute(tmp_path / "one/results", 0)
    refreshed(Store(uri, old.as_uri()), "mine", tmp_path / "one/results/mine")
    assert refreshed(store, "mine", tmp_path / "one/results/mine") == 0
    execute(tmp_path / "one/results", 1)
    assert refreshed(store, "mine", tmp_path / "one/results/mine") == 1
    first, _ = shown_in(store, "mine/stages")
    assert first.is_relative_to(old)
    assert (first / "pictures/picture.png").read_bytes() == picture


def test_a_set_up_that_was_killed_is_done_again(tmp_path):
    store = store_in(tmp_path)
    folder = tmp_path / "mlflow"
    process = subprocess.Popen(
        [sys.executable, "-c", f"from gallerist.tracking.store import prepare\n"
         f"prepare({store.uri!r}, None, ['mine', 'mine/stages'])"],
        env=environment(),
    )  # fmt: skip
    wait_for(lambda: any(path.stat().st_size for path in folder.glob(".*.db")))
    process.kill()
    process.wait()
    assert not (folder / "mlflow.db").exists()
    prepare(store.uri, store.artifact_root, ["mine", "mine/stages"])
    assert Runs(tmp_path).experiments() == ["Default", "mine", "mine/stages"]


def test_an_experiment_deleted_in_mlflow_comes_back(client, store, dataset, results):
    client.delete_experiment(client.get_experiment_by_name(dataset).experiment_id)
    prepare(store.uri, store.artifact_root, [dataset, f"{dataset}/stages"])
    assert client.get_experiment_by_name(dataset).lifecycle_stage == "active"


# --- passwords


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:s3cret@there:5000/x", "http://me:***@there:5000/x"),
        ("postgresql+psycopg2://me:s3cret@/db?host=/run", "postgresql+psycopg2://me:***@/db?host=/run"),
        ("postgresql://there/db?user=me&password=s3cret&x=1", "postgresql://there/db?user=me&password=***&x=1"),
        ("http://:s3cret@there", "http://:***@there"),
        ("http://me:s3@cret@there", "http://me:***@there"),
        ("http://me:s3/cret@there", "http://me:***@there"),
        ("http://me:5000@there", "http://me:***@there"),
    ],
)  # fmt: skip
def test_the_password_of_an_address_is_hidden_wherever_it_stands(address, shown):
    assert holds_password(address)
    assert hide_passwords(address) == shown
    assert hide_passwords(f"no answer from {address} or {address}, sorry") == (
        f"no answer from {shown} or {shown}, sorry"
    )


@pytest.mark.parametrize(
    "address",
    [
        "http://there:5000",
        "http://there:5000/of/@team",
        "http://me@there:5000",
        "http://[::1]:5000/",
        "postgresql:///mlflow",
        "postgresql://me@there:5432/mlflow?sslmode=require",
        "sqlite:////data/me:too@home/mlflow.db",
        "databricks://profile",
    ],
)
def test_an_address_without_a_password_is_left_as_it_is(address):
    assert not holds_password(address)
    assert hide_passwords(address) == address
    assert separated(address) == (address, {})


@pytest.mark.parametrize("password", ["plain", "with%40%3A%2Fin%20it"])
def test_the_client_gets_what_requests_reads_in_the_address(password):
    uri = f"https://me:{password}@there:8443/mlflow?x=1"
    address, variables = separated(uri)
    assert address == "https://there:8443/mlflow?x=1"
    assert tuple(variables) == ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    assert tuple(variables.values()) == requests.utils.get_auth_from_url(uri)


def test_a_database_keeps_its_password():
    uri = "postgresql://me:s3cret@there/db"
    assert separated(uri) == (uri, {})


def test_a_password_in_the_configuration_is_refused_without_being_repeated():
    """Snakemake copies the configuration into its report."""
    with pytest.raises(ConfigurationError) as refusal:
        complete(
            {
                "dataset": {"name": "mine", "embedded": {}},
                "experiments": {"scratch": {"network": "scratch"}},
                "tracking": {"uri": f"http://me:{SECRET}@there:5000"},
            }
        )
    (problem,) = refusal.value.problems
    assert problem.startswith("tracking.uri: holds a password")
    assert "MLFLOW_TRACKING_PASSWORD" in problem
    assert SECRET not in problem


def test_a_refused_folder_is_named_without_a_password(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://me:{SECRET}@there/mlruns")
    with pytest.raises(TrackingError, match=r"MLFLOW_TRACKING_URI is file://me:\*\*\*@there"):
        resolve_uri(None, tmp_path)
