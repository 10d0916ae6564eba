"""Deleting for good what reruns have superseded: runs in MLflow, their pictures, their history."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from gallerist.io.files import PathLike
from gallerist.records.history import History
from gallerist.records.record import find_records, mlflow_experiments
from gallerist.tracking.client import (
    Client,
    connect,
    experiment_id,
    first_line,
    is_active,
    retry,
    runs,
)
from gallerist.tracking.store import Store, TrackingError, exclusive
from gallerist.tracking.sync import refresh


@dataclass(slots=True)
class Pruned:
    """What was deleted.

    runs: name of the MLflow experiment -> how many. failed: how many of them were failures.
    kept_bytes: of the history. for_good: False where a server keeps what is deleted.
    """

    runs: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    kept_bytes: int = 0
    for_good: bool = True

    def __str__(self) -> str:
        """One sentence or two, for people."""
        total = sum(self.runs.values())
        if not total:
            return f"No superseded run in {' or '.join(self.runs)}: nothing is deleted."
        counts = ", ".join(f"{count} in {name}" for name, count in self.runs.items())
        text = (
            f"Deleted {total} superseded runs: {counts}; {self.failed} of them had failed. "
            f"Their history took {self.kept_bytes / 1e6:.1f} MB."
        )
        if not self.for_good:
            text += " The server shows them among its deleted runs until `mlflow gc` is run there."
        return text


def prune(store: Store, dataset: str, results: PathLike) -> Pruned:
    """Delete the superseded runs of a data set, and the history from which they would come back.

    A run is superseded when it is in the history of these results, it has ended, and it is tagged
    current=false: another execution has replaced it, or it failed. Those of another checkout, which
    may use the same store and name its data set alike, are that one's. One whose record still lies
    beside its output below `results` is never deleted. MLflow is brought up to date before, so that
    the tags are right. It is imported here: this is no stage, and nothing waits for it.
    Raises TrackingError when MLflow cannot be reached, or not to the end: prune again then.
    """
    if refresh(store, dataset, results) is None:
        raise TrackingError("nothing is deleted: MLflow cannot be brought up to date")
    try:
        with exclusive(results, store.patience):
            return _delete_superseded(connect(store.uri), dataset, results)
    except Exception as error:
        raise TrackingError(f"not all is deleted, run this again: {first_line(error)}") from error


def _delete_superseded(client: Client, dataset: str, results: PathLike) -> Pruned:
    beside = {record.execution for record in find_records(results)}
    own = {*History(results).executions()}
    # Deleted runs can be removed from a database, not from a server.
    pruned = Pruned(for_good=hasattr(client._tracking_client.store, "_hard_delete_run"))
    superseded = []
    for name in mlflow_experiments(dataset):
        # Also those that were half deleted before.
        question = "tags.current = 'false'"
        found = [
            run
            for run in runs(client, [experiment_id(client, name)], question, deleted=True)
            if run.info.status != "RUNNING"
            and (execution := run.data.tags.get("gallerist.execution")) not in {None, *beside}
            and (execution in own or not is_active(run))
        ]
        superseded += found
        # On a server those that were deleted before are still there, and stay.
        going = [run for run in found if is_active(run) or pruned.for_good]
        pruned.runs[name] = len(going)
        pruned.failed += sum(run.info.status == "FAILED" for run in going)
    for run in filter(is_active, superseded):
        client.delete_run(run.info.run_id)
    # Before they are erased: whoever is cut short here finds them again, and they do not come back.
    pruned.kept_bytes = History(results).remove(
        run.data.tags["gallerist.execution"] for run in superseded
    )
    if pruned.for_good:
        for run in superseded:
            _erase(client, run)
    return pruned


def _erase(client: Client, run: Any) -> None:
    """Remove a deleted run and its pictures, as `mlflow gc` does.

    That cannot be asked to leave alone what else is deleted, such as experiments of others.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    get_artifact_repository(run.info.artifact_uri).delete_artifacts()
    retry(client._tracking_client.store._hard_delete_run, run.info.run_id)
    address = urlparse(run.info.artifact_uri)
    if address.scheme == "file":
        with suppress(OSError):  # the folder that was of this run alone is empty
            Path(url2pathname(address.path)).parent.rmdir()
