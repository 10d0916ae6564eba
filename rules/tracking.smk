# Before the first job: the MLflow store is ready for jobs that start side by side.
from snakemake.logging import logger

# Seconds that all jobs wait for a slow server. What it lacks then, a later start brings.
STORE_IS_AWAITED = 300


def prepare_run():
    """Say what is odd, note who holds the lock, and bring MLflow up to date with the records."""
    from gallerist.tracking import refresh_configured
    from gallerist.workflow_lock import claim

    for notice in notices(config):
        logger.warning(notice)
    claim(Path.cwd())
    refresh_configured(config, RESULTS, limit=STORE_IS_AWAITED)
