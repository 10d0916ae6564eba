"""All that MLflow shows of a data set, by its API, for comparing before and after."""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

from tiny_workflow import Workflow


def everything_shown(workflow, dataset="tiny"):
    """MLflow experiment -> execution -> the run, without what is MLflow's own: the run's id.

    Asked for by another process: one that has opened a database keeps it open, even a deleted one.
    """
    asking = [sys.executable, __file__, dataset]
    answer = workflow.call(asking, env={"PYTHONPATH": str(Path(__file__).parent)})
    return json.loads(answer.stdout.splitlines()[-1])


def _everything_shown(workflow, dataset):
    client = workflow.tracking()
    return {
        name: {
            run.data.tags["gallerist.execution"]: _content(client, run)
            for run in workflow.tracked_runs(name)
        }
        for name in (dataset, f"{dataset}/stages")
    }


def counts(shown):
    """What there is of everything, over all runs."""
    runs = [run for experiment in shown.values() for run in experiment.values()]
    points = [len(points) for run in runs for points in run["curves"].values()]
    return {
        **{name: len(experiment) for name, experiment in shown.items()},
        "superseded": sum(run["tags"]["current"] == "false" for run in runs),
        "failed": sum(run["status"] == "FAILED" for run in runs),
        "parameters": sum(len(run["parameters"]) for run in runs),
        "metrics": sum(len(run["metrics"]) for run in runs),
        "points": sum(points),
        "tags": sum(len(run["tags"]) for run in runs),
        "datasets": sum(len(run["datasets"]) for run in runs),
        "artifacts": sum(len(run["artifacts"]) for run in runs),
        "bytes": sum(size for run in runs for size, _ in run["artifacts"].values()),
    }


def _content(client, run):
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "tags": {
            name: text.replace(run.info.run_id, "its id") for name, text in run.data.tags.items()
        },
        "parameters": run.data.params,
        "metrics": {name: repr(value) for name, value in run.data.metrics.items()},
        "curves": {
            name: sorted(
                (metric.step, repr(metric.value), metric.timestamp)
                for metric in client.get_metric_history(run.info.run_id, name)
            )
            for name in run.data.metrics
        },
        "datasets": sorted(
            (each.dataset.name, each.dataset.digest, each.dataset.source, each.dataset.profile)
            for each in run.inputs.dataset_inputs
        ),
        "artifacts": _artifacts(client, run.info.run_id),
    }


def _artifacts(client, run_id):
    """Path of every artifact, as MLflow lists it -> size and SHA-256 of what it hands out."""
    with tempfile.TemporaryDirectory() as folder:
        listed, waiting = {}, [None]
        while waiting:
            for entry in client.list_artifacts(run_id, waiting.pop()):
                if entry.is_dir:
                    waiting.append(entry.path)
                else:
                    content = Path(
                        client.download_artifacts(run_id, entry.path, folder)
                    ).read_bytes()
                    listed[entry.path] = (entry.file_size, hashlib.sha256(content).hexdigest())
    return listed


if __name__ == "__main__":
    print(json.dumps(_everything_shown(Workflow.at("."), sys.argv[1])))
