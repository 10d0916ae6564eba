"""Rule register_models: evaluated experiments -> models in MLflow's registry, and their list."""

import json
import subprocess
import sys
from pathlib import Path

from gallerist.io.files import write_json
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    asked = run.param("experiments")
    results = Path(snakemake.output.registered).parents[2]  # of all data sets
    request = {"config": snakemake.config, "experiments": asked, "root": str(results)}
    # In a process of its own: no stage loads MLflow.
    done = subprocess.run(
        [sys.executable, "-m", "gallerist.serving.registry"],
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError("the models could not be registered: the log says why")
    registered = json.loads(done.stdout.splitlines()[-1])
    write_json(snakemake.output.registered, registered)
    for each in registered:
        run.tag(**{f"registered.{each['experiment']}": "{name} version {version}".format(**each)})
        run.tag(**{f"reason.{each['experiment']}": each["reason"]})
    run.metrics(models=len(registered))
    run.artifact(snakemake.output.registered)
