"""The command `gallerist submit`: an answer file goes to its server, and is recorded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist.challenge.client import SubmitError, submit
from gallerist.challenge.lint_command import picture_names
from gallerist.challenge.receipts import Receipt
from gallerist.challenge.records import record_sendings
from gallerist.io.files import PathLike
from gallerist.tracking.store import Store, configured_store
from gallerist.tracking.sync import refresh
from gallerist.workflow.results import Results

RESULTS = "results"
"""The folder, below the working directory, that everything produced goes to."""

_MLFLOW_LIMIT = 120.0
"""Seconds that whoever has sent an answer file waits for MLflow."""


class NotConfigured(ValueError):
    """A configuration that does not say what is to be sent, or where. The message is complete."""


@dataclass(frozen=True)
class Delivery:
    """An answer file, and the server that it goes to.

    gallery, query: the folders of the challenge. k: answers a query.
    store: the MLflow that shows what became of it at once; None where no configuration names one.
    """

    results: PathLike
    url: str
    gallery: PathLike
    query: PathLike
    k: int
    store: Store | None = None


def configured(config: dict[str, Any], experiment: str) -> Delivery:
    """The answers of one experiment, and where a complete configuration sends them.

    Raises NotConfigured when that is not said, ResultMissing when there are no answers yet, and
    TrackingError when the configured MLflow is none that runs can be written to.
    """
    if experiment not in config["experiments"]:
        known = ", ".join(config["experiments"])
        raise NotConfigured(f"no experiment is called {experiment}; there are: {known}")
    challenge = config["challenge"]
    if challenge is None:
        raise NotConfigured("there is no challenge in the configuration: docs/challenge.md")
    if challenge["submit_to"] is None:
        raise NotConfigured("challenge.submit_to is null: set it to the address of the server")
    results = Results.of(config, RESULTS)
    folder = Path(challenge["folder"] or results.path("challenge/source"))
    return Delivery(
        results=results.path(f"challenge/submissions/{experiment}/results.json"),
        url=challenge["submit_to"],
        gallery=folder / "gallery",
        query=folder / "query",
        k=challenge["k"],
        store=configured_store(config, RESULTS),
    )


def send(
    delivery: Delivery,
    *,
    receipts: PathLike | None,
    timeout: float,
    attempts: int,
    again: bool,
    dry_run: bool,
) -> Receipt:
    """Send an answer file, record what became of it, and show that in MLflow.

    receipts: folder; None for `receipts` beside the answer file, where a later call finds them
    wherever it is typed. What is sent when, and what is raised: `submission_client.submit`. What is
    recorded: submission_records. MLflow is waited for as long as the store's patience says, and
    its failures are warnings.
    """
    folder = Path(delivery.results).parent / "receipts" if receipts is None else Path(receipts)
    names = [picture_names(each) for each in (delivery.gallery, delivery.query)]
    try:
        receipt = submit(
            delivery.results,
            delivery.url,
            gallery_names=names[0],
            query_names=names[1],
            k=delivery.k,
            receipts=folder,
            timeout=timeout,
            attempts=attempts,
            again=again,
            dry_run=dry_run,
        )
    except SubmitError:
        _record(delivery, folder)
        raise
    if not dry_run:
        _record(delivery, folder)
    return receipt


def _record(delivery: Delivery, receipts: Path) -> None:
    records = record_sendings(delivery.results, receipts)
    if records and delivery.store is not None:
        dataset = records[0].dataset
        refresh(delivery.store, dataset, Path(RESULTS) / dataset, _MLFLOW_LIMIT)
