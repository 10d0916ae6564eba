"""A SQLite store that is ready, and a data set of its own for each test."""

import uuid

import pytest
from tracked import set_up, store_in

from gallerist.tracking.client import connect
from gallerist.tracking.store import prepare


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder of results with an initialised SQLite store; each test has a data set of its own."""
    folder = tmp_path_factory.mktemp("work") / "results"
    store = store_in(folder)
    set_up(store)
    prepare(store.uri, store.artifact_root, ["first", "first/stages"])
    return folder


@pytest.fixture
def store(results):
    return store_in(results)


@pytest.fixture
def client(store, dataset):
    prepare(store.uri, store.artifact_root, [dataset, f"{dataset}/stages"])
    return connect(store.uri)


@pytest.fixture
def dataset():
    return f"d{uuid.uuid4().hex[:8]}"


@pytest.fixture(autouse=True)
def no_foreign_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
