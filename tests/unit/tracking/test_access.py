"""Passwords of tracking addresses: used, and repeated nowhere. Refusals: told with what to do."""

import logging

import pytest
import requests
from gallerist.tracking.access import (
    hide_passwords,
    holds_password,
    in_short,
    separated,
    what_it_said,
)
from gallerist.tracking.tracker import Store, Tracker, refresh
from tracked import a_record, free_port, running

from gallerist.config.completion import ConfigurationError, complete
from gallerist.tracking.store import TrackingError, resolve_uri

SECRET = "s3cret"


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


def test_no_warning_about_a_server_that_is_gone_has_the_password(tmp_path, caplog):
    store = Store(f"http://me:{SECRET}@127.0.0.1:{free_port()}", None, patience=60.0)
    tracker = Tracker(store)
    tracker.open(running(a_record("mine")))
    with caplog.at_level(logging.DEBUG):
        assert tracker.close([a_record("mine")]) is False
        assert refresh(store, "mine", tmp_path) is None
    assert caplog.text.count("could not be reached: API request to http://127.0.0.1") == 2
    assert SECRET not in caplog.text


@pytest.mark.slow
def test_no_warning_about_a_database_that_is_gone_has_the_password(tmp_path, caplog):
    pytest.importorskip("psycopg2")  # MLflow tries again for a minute
    uri = f"postgresql://me:{SECRET}@127.0.0.1:{free_port()}/db"
    with caplog.at_level(logging.DEBUG):
        assert refresh(Store(uri, None, patience=60.0), "mine", tmp_path) is None
    assert "MLflow" in caplog.text
    assert SECRET not in caplog.text


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


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (401, "You are not authenticated.", "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASS"),
        (403, "Permission denied", "grant EDIT"),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "no"}', "grant EDIT"),
        (403, "Invalid Host header - possible DNS rebinding attack detected", "--allowed-hosts"),
        (404, "nothing here", "could not be reached: API request to endpoint /x failed"),
    ],
)  # fmt: skip
def test_what_a_server_refuses_is_told_with_what_to_do(status, body, advice):
    """The errors are those that MLflow's client makes of such answers."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.rest_utils import verify_rest_response

    answer = requests.Response()
    answer.status_code, answer._content = status, body.encode()
    with pytest.raises(MlflowException) as error:
        verify_rest_response(answer, "/x")
    assert advice in what_it_said(error.value)


def test_an_error_is_told_in_one_short_line():
    assert in_short(ValueError("first\nsecond")) == "first"
    assert in_short(ValueError()) == "ValueError"
    assert len(in_short(ValueError("x" * 1000))) == 300
