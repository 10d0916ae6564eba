# Before the first job: the MLflow store is ready for jobs that start side by side.
from snakemake.logging import logger


def prepare_run():
    """Say what is odd, note who holds the lock, and bring MLflow up to date with the records."""
    from gallerist.tracking import Store, refresh
    from gallerist.tracking_store import artifact_root_of, resolve_uri
    from gallerist.workflow_lock import claim

    for notice in notices(config):
        logger.warning(notice)
    claim(Path.cwd())
    uri = resolve_uri(config["tracking"]["uri"], RESULTS)
    store = Store(uri, artifact_root_of(uri, RESULTS), config["tracking"]["patience"])
    refresh(store, DATASET, results("."))
