"""Rule prune_runs: superseded runs -> deleted for good, in MLflow and in the history."""

import sys
from pathlib import Path

from gallerist.io.files import write_text
from gallerist.tracking.pruning import prune
from gallerist.tracking.store import TrackingError, configured_store

results, dataset = snakemake.params.results, snakemake.config["dataset"]["name"]
try:
    pruned = prune(configured_store(snakemake.config, results), dataset, Path(results) / dataset)
except TrackingError as error:
    sys.exit(str(error))
write_text(snakemake.log[0], f"{pruned}\n")
print(pruned)
