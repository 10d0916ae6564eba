"""What a workflow would do in an empty folder, as JSON: each job's script and what it is given.

    python -m benchmarks.plain_jobs CONFIG > jobs.json      in that folder

In an order in which none comes before one that it needs.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from snakemake.api import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    ResourceSettings,
    SnakemakeApi,
)

CHECKOUT = Path(__file__).resolve().parents[1]


def list_jobs(config: Path) -> list[dict[str, Any]]:
    """The jobs of the default target for a configuration, in the folder that we are in."""
    with SnakemakeApi(OutputSettings(dryrun=True)) as api:
        workflow = api.workflow(
            ResourceSettings(cores=os.cpu_count()),
            ConfigSettings(configfiles=[config]),
            snakefile=CHECKOUT / "Snakefile",
        )
        workflow.dag(DAGSettings()).execute_workflow(executor="dryrun")
        layers = [sorted(layer, key=str) for layer in workflow._workflow.dag.toposorted()]
        return [_describe(job) for layer in layers for job in layer if job.rule.script]


def _describe(job: Any) -> dict[str, Any]:
    """All that Snakemake gives to the script of a job, but for its log and its resources."""
    given = {name: _plain(files) for name, files in job.input.items()}
    return {
        "script": str(CHECKOUT / "scripts" / Path(job.rule.script).name),
        "input": given,
        "output": {name: _plain(files) for name, files in job.output.items()},
        "params": {name: _plain(value) for name, value in job.params.items()},
        "wildcards": job.wildcards_dict,
        "threads": job.threads,
        "config": job.rule.workflow.config,
    }


def _plain(value: Any) -> Any:
    """Lists and texts in place of Snakemake's own."""
    if isinstance(value, str):
        return str(value)
    return [*map(str, value)] if hasattr(value, "__iter__") else value


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        jobs = list_jobs(Path(sys.argv[1]).resolve())
    json.dump(jobs, sys.stdout)
