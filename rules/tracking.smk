# Before the first job: the MLflow store is ready for jobs that start side by side.
from snakemake.logging import logger


def prepare_run():
    """Say what is odd, note who holds the lock, and bring MLflow up to date with the records."""
    from gallerist.tracking import in_words, refresh_configured
    from gallerist.workflow_lock import claim

    for notice in notices(config):
        logger.warning(notice)
    claim(Path.cwd())
    if logged := refresh_configured(config, RESULTS):
        logger.info(in_words(logged, DATASET))
