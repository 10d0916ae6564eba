"""Rule fit_reduction: vectors of the training pictures -> the reduction fitted on them."""

import json
import time

from gallerist.features import Features
from gallerist.reduction import fit
from gallerist.stage import stage

with stage(snakemake) as run:
    settings = json.loads(snakemake.params.settings)
    training = Features.read(*snakemake.input.training)
    started = time.monotonic()
    reduction = fit(settings["method"], settings["dimensions"], training.vectors, settings["seed"])
    reduction.write(snakemake.output.reduction)
    run.parameters(settings)
    run.metrics(
        images=len(training.ids),
        feature_length=reduction.length,
        fit_seconds=time.monotonic() - started,
    )
