"""Rule register_models: evaluated experiments -> models in MLflow's registry, and their list."""

import json
from dataclasses import asdict
from pathlib import Path

from gallerist.io.files import write_json
from gallerist.serving.register_process import register_beside
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    asked = json.loads(snakemake.params.experiments)
    results = Path(snakemake.output.registered).parents[2]  # of all data sets
    registered = register_beside(snakemake.config, asked, results)
    write_json(snakemake.output.registered, [asdict(each) for each in registered])
    for each in registered:
        run.tag(**{f"registered.{each.experiment}": f"{each.name} version {each.version}"})
        run.tag(**{f"verdict.{each.experiment}": each.reason})
    run.metrics(models=len(registered))
    run.artifact(snakemake.output.registered)
