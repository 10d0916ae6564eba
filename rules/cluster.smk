# Where jobs run: the processors they get, what they ask for, and which of them are worth sending.
import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from gallerist.workflow import cluster
from gallerist.workflow.resources import Needs, count_pictures, training_threads

# Whether jobs are sent to other machines from here; not in the processes that run one there.
SENDING = workflow.is_main_process and workflow.resource_settings.nodes is not None
# As it is written: a value it has for a job only, and None where nobody has named one.
PARTITION = (workflow.resource_settings.default_resources or {}).get("slurm_partition")
PARTITION = PARTITION and PARTITION.raw
NODE = cluster.largest_node(PARTITION) if SENDING else None

if SENDING and not any(Path(".snakemake/locks").glob("*")):
    # Before it is planned what is missing: what still runs is not. The jobs of a workflow that
    # holds its lock are its own.
    cluster.wait_for_jobs(Path.cwd(), logger.warning)

# Jobs on one machine share what GPU there is; a batch system gives one out where a profile asks.
GPUS = int(workflow.is_main_process and not SENDING)
needs = Needs(PLAN, sending=SENDING, megabytes=NODE and NODE.megabytes, gpus=GPUS)


def processors(most):
    """The threads of a rule: no more than a job was given, or than a node has."""
    return min(most, cluster.processors_given() or (NODE.processors if NODE else most))


def of_training(wildcards):
    """The threads of a training: one, where its steps are small."""
    return training_threads(PLAN.experiments[wildcards.experiment], processors(8))


def small_rules():
    """The rules whose jobs run beside the workflow, for sending them would cost more."""
    if not SENDING:
        return []
    names = [each.name for each in workflow.rules]
    return needs.small(names, count_pictures(PLAN), CONFIG.cluster.least_minutes)


def keep_small_jobs_here():
    """Have the jobs of small rules run beside the workflow, on `local-cores` of the profile.

    Snakemake itself counts no processors of such jobs, nor looks at that number: it would start
    five at a time, each with as many threads as a job that is sent.
    """
    names = small_rules()
    # Like `localrules:`, which takes no list.
    workflow.localrules(*names)
    if not names:
        return
    here = workflow.resource_settings.local_cores or os.cpu_count()
    workflow.register_resource("beside", here)
    for name in names:
        resources = workflow.get_rule(name).resources
        resources["_cores"] = at_most(here, resources["_cores"])
        resources["beside"] = lambda wildcards, threads: threads


def at_most(here, asked):
    """The threads that a rule asks for, by a number or by a function, and no more than `here`."""
    if asked.is_evaluable():
        return lambda wildcards: min(asked.evaluate(wildcards).value, here)
    return min(asked.value, here)


def note_what_is_sent():
    """Have Snakemake note what a job was made with when it is sent, and not only when it ends.

    A workflow that was killed and is started again takes what its jobs made meanwhile by that.
    """
    if not SENDING:
        return
    persistence = workflow.persistence
    mark_as_begun = persistence.started

    def begin(job, number=None):
        if number is not None:
            # In a thread, for there may be a loop in this one that Snakemake runs in.
            with ThreadPoolExecutor(1) as beside:
                beside.submit(asyncio.run, persistence.finished(job)).result()
        mark_as_begun(job, number)

    persistence.started = begin


def choose_command_for_states():
    """Have the executor ask for the states of its jobs what this Slurm will answer."""
    if hasattr(workflow.executor_settings, "status_command"):
        workflow.executor_settings.status_command, warning = cluster.command_for_states()
        if warning:
            logger.warning(warning)
