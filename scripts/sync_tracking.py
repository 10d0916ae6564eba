"""Rule sync_tracking: the records of all executions -> the runs that MLflow lacks, each once."""

import sys

from gallerist.io.files import write_text
from gallerist.tracking.sync import format_logged, refresh_configured

logged = refresh_configured(snakemake.config, snakemake.params.results)
if logged is None:
    sys.exit("MLflow is not up to date; what it lacks is logged when this is run again")
message = format_logged(logged, snakemake.config["dataset"]["name"])
write_text(snakemake.log[0], f"{message}\n")
print(message)
