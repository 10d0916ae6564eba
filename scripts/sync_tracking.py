"""Rule sync_tracking: the records of all executions -> the runs that MLflow lacks, each once."""

import sys

from gallerist.io.files import write_text
from gallerist.tracking.tracker import in_words, refresh_configured

logged = refresh_configured(snakemake.config, snakemake.params.results)
if logged is None:
    sys.exit("MLflow is not up to date; what it lacks is logged when this is run again")
said = in_words(logged, snakemake.config["dataset"]["name"])
write_text(snakemake.log[0], f"{said}\n")
print(said)
