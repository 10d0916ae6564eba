"""The command `gallerist prune`."""

from pathlib import Path
from typing import Any

from gallerist.commands import options


@options.command()
@options.with_configuration
def prune(config: dict[str, Any]) -> None:
    """Delete for good what reruns have superseded, and the failures, in MLflow and the history."""
    from gallerist.tracking import pruning
    from gallerist.tracking.store import configured_store

    store, dataset = configured_store(config, options.RESULTS), config["dataset"]["name"]
    print(pruning.prune(store, dataset, Path(options.RESULTS) / dataset))
