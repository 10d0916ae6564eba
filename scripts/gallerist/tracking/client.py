"""MLflow's client: one that tries again while others on the same database are in its way.

Every function here talks to MLflow in the calling process, which costs seconds to import and can
take as long as a server pleases. Stages and the workflow leave that to `tracking.writer`.
"""

import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from gallerist.tracking.store import PASSWORD, USERNAME, TrackingError, hide_passwords, separated

Client = Any
"""An mlflow.MlflowClient in a RetryingClient; MLflow is not imported to say so."""

_LOCKED_FOR = 60.0
_LOST_RACE = ("UNIQUE constraint failed", "duplicate key value")
_RACES = 5

_OTHER_NAME = (
    "server goes by another name than the address in tracking.uri: start it with that name and "
    "the port among its --allowed-hosts"
)
_REFUSALS = {
    401: f"refuses the user or the password: set {USERNAME} and {PASSWORD}, or write them into "
    "~/.mlflow/credentials",
    403: "refuses this user: its administrator may grant EDIT on the MLflow experiment, or give "
    "the data set a name that nobody else uses",
}


class RetryingClient:
    """A client whose calls are repeated while it is others on the same database that fail them.

    For a minute while they have it locked; a few times when one of them was faster to add a row
    that both were missing, such as the data set of two jobs: the next try finds it there.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return partial(retry, found) if callable(found) else found


def retry(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Make a call, repeated as those of a RetryingClient are."""
    deadline = time.monotonic() + _LOCKED_FOR
    pause, races = 0.05, 0
    while True:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            reason = str(error)
            races += any(sign in reason for sign in _LOST_RACE)
            passing = "is locked" in reason or 0 < races <= _RACES
            if not passing or time.monotonic() + pause > deadline:
                raise
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, 2.0)


def connect(uri: str, *, request_timeout: int = 10) -> Client:
    """An MlflowClient, quiet, with bounded requests, that sends nothing to anybody else.

    Only this client is used, never the functions of `mlflow` that keep a run in the environment.
    A user and a password in the address of a server go to where MLflow looks for them.
    """
    address, credentials = separated(uri)
    os.environ.update(credentials)
    for name, value in {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(request_timeout),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # Whatever fails is raised too, and reported by us in one line.
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
    for chatty in ("alembic", "sqlalchemy", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    from mlflow import MlflowClient

    return RetryingClient(retry(MlflowClient, tracking_uri=address))


def experiment_id(client: Client, name: str) -> str:
    """The id of an MLflow experiment. Raises TrackingError when `prepare` has not created it."""
    found = client.get_experiment_by_name(name)
    if found is None:
        raise TrackingError(f"MLflow has no experiment {name}: the store was not prepared")
    return str(found.experiment_id)


def runs(
    client: Client, experiment_ids: Sequence[str], question: str, *, deleted: bool = False
) -> Iterator[Any]:
    """Every run of these MLflow experiments that answers a filter; the deleted ones if asked."""
    from mlflow.entities import ViewType

    token: str | None = None
    while token is None or token:
        page = client.search_runs(
            list(experiment_ids),
            filter_string=question,
            run_view_type=ViewType.ALL if deleted else ViewType.ACTIVE_ONLY,
            max_results=1000,
            page_token=token,
        )
        yield from page
        token = page.token or ""


def is_active(run: Any) -> bool:
    """Whether nobody has deleted a run."""
    return bool(run.info.lifecycle_stage == "active")


def explain(error: BaseException) -> str:
    """Why a store failed: a sentence but for its subject, MLflow. A refusal says what to do."""
    reason = first_line(error)
    if isinstance(error, TrackingError):
        return reason
    if "Invalid Host header" in reason:
        return _OTHER_NAME
    status = getattr(error, "get_http_status_code", lambda: 0)()
    return _REFUSALS.get(status, f"could not be reached: {reason}")


def first_line(error: BaseException) -> str:
    """The first line of an error, at most 300 characters: some of MLflow's fill a page."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return hide_passwords(lines[0])[:300]


def require_version(uri: str, name: str, alias: str | None, version: str | None) -> None:
    """Raise TrackingError unless a model is registered, by an alias or by its version's number."""
    from mlflow.exceptions import MlflowException

    client = connect(uri)
    try:
        if alias:
            client.get_model_version_by_alias(name, alias)
        else:
            client.get_model_version(name, str(version))
    except MlflowException as error:
        wanted = f"models:/{name}{f'@{alias}' if alias else f'/{version}'}"
        raise TrackingError(
            f"{wanted} is not registered ({first_line(error)}): gallerist register does it"
        ) from error
