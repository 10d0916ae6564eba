"""MLflow's client: calls are repeated while the database is locked; refusals name the way out."""

import sqlite3
import threading

import pytest
import requests

from gallerist.tracking.client import RetryingClient, explain, first_line


def test_a_call_is_repeated_while_the_database_is_locked_and_no_other_error_is(tmp_path):
    path = tmp_path / "x.db"
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    impatient = sqlite3.connect(path, timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="is locked"):
        impatient.execute("INSERT INTO t VALUES (1)")
    release = threading.Timer(0.5, holder.execute, ["COMMIT"])
    release.start()
    RetryingClient(impatient).execute("INSERT INTO t VALUES (1)")
    release.join()
    assert holder.execute("SELECT x FROM t").fetchall() == [(1,)]
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        RetryingClient(impatient).execute("INSERT INTO absent VALUES (1)")


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
def test_what_a_server_refuses_is_reported_with_what_to_do(status, body, advice):
    """The errors are those that MLflow's client makes of such answers."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.rest_utils import verify_rest_response

    answer = requests.Response()
    answer.status_code, answer._content = status, body.encode()
    with pytest.raises(MlflowException) as error:
        verify_rest_response(answer, "/x")
    assert advice in explain(error.value)


def test_an_error_is_reported_in_one_short_line():
    assert first_line(ValueError("first\nsecond")) == "first"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 1000))) == 300
