"""Rule reduce_features: vectors -> shorter, or better comparable, ones."""

from gallerist.features.reduction import Reduced, Reduction
from gallerist.features.store import Features, write_parts
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, sources = snakemake.input, {}
    reduction = Reduction.read(given.reduction)
    for part in run.param("parts"):
        features = Features.read(*given[part])
        sources[part] = features.ids, Reduced(features, reduction)
    run.metrics(write_parts(sources, dict(snakemake.output.items())))
