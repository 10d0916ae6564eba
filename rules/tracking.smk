# Before the first job: the workflow is drawn, and the MLflow store ready for jobs side by side.
from snakemake.logging import logger

# Seconds that all jobs wait for a slow server. What it lacks then, a later start brings.
STORE_IS_AWAITED = 300


def prepare_run():
    """Say what is odd, note who holds the lock, and bring MLflow up to date with the records."""
    from gallerist.records.origin import keep_rule_graph
    from gallerist.tracking.tracker import in_words, refresh_configured
    from gallerist.workflow.lock import claim

    for notice in find_warnings(config):
        logger.warning(notice)
    claim(Path.cwd())
    try:
        keep_rule_graph(f"{RESULTS}/{DATASET}", rule_graph(), f"{DATASET}: rules of the workflow")
    except Exception as error:
        logger.warning(f"The rules of the workflow are not drawn: {error}")
    if logged := refresh_configured(config, RESULTS, limit=STORE_IS_AWAITED):
        logger.info(in_words(logged, DATASET))


def rule_graph():
    """Rule -> the rules whose files it takes, of all that leads to what was asked for."""
    graph = {}
    for job in workflow.dag.jobs:
        givers = {giver.rule.name for giver in workflow.dag.dependencies[job]}
        graph[job.rule.name] = graph.get(job.rule.name, set()) | givers
    graph.pop("all", None)
    return {rule: sorted(givers - {rule}) for rule, givers in sorted(graph.items())}
