# Before the first job: the workflow is drawn, and a process begins to show the jobs in MLflow.
from snakemake.logging import logger

if any(word.startswith("--report") for word in sys.argv):
    from gallerist.records.provenance import keep_configuration

    # A report shows the files of the configuration, remarks and signed addresses included: this one
    # has none.
    workflow.configfiles = [keep_configuration(f"{RESULTS}/{DATASET}", config)]

writer = held = None


def prepare_run():
    """Take the results for this workflow, print warnings, and start its writer."""
    from gallerist.figures.rule_graph import draw
    from gallerist.records.provenance import keep_rule_graph
    from gallerist.tracking.store import TrackingError
    from gallerist.tracking.sync import WorkflowWriter
    from gallerist.workflow.begun import forget_done
    from gallerist.workflow.lock import AtWork, hold

    global writer, held
    try:
        held = hold(f"{RESULTS}/{DATASET}")
    except AtWork as error:
        sys.exit(str(error))
    forget_done(f"{RESULTS}/{DATASET}")
    for warning in find_warnings(CONFIG):
        logger.warning(warning)
    try:
        title = f"{DATASET}: rules of the workflow"
        keep_rule_graph(f"{RESULTS}/{DATASET}", rule_graph(), title, draw)
    except Exception as error:
        logger.warning(f"The rules of the workflow are not drawn: {error}")
    try:
        writer = WorkflowWriter(config, RESULTS)
    except (OSError, TrackingError) as error:
        logger.warning(f"Nothing is shown in MLflow: {error}")


def close_run():
    """Forget which jobs had begun, and wait until MLflow shows all of it, for a limited time."""
    from gallerist.workflow.begun import forget_done

    forget_done(f"{RESULTS}/{DATASET}")
    if writer is not None:
        writer.close()


def rule_graph():
    """Rule -> the rules whose files it takes, of all that leads to what was asked for."""
    graph = {}
    for job in workflow.dag.jobs:
        givers = {giver.rule.name for giver in workflow.dag.dependencies[job]}
        graph[job.rule.name] = graph.get(job.rule.name, set()) | givers
    graph.pop("all", None)
    return {rule: sorted(givers - {rule}) for rule, givers in sorted(graph.items())}
