"""Rule reduce_features: vectors of one part -> shorter, or better comparable, ones."""

from gallerist.features.extractors import write_extracted
from gallerist.features.reduction import Reduced, Reduction
from gallerist.features.store import Features
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    output = snakemake.output
    features = Features.read(*snakemake.input.features)
    reduced = Reduced(features, Reduction.read(snakemake.input.reduction))
    files = output.vectors, output.ids, output.origin
    run.metrics(write_extracted(reduced, features.ids, features.ids, files).metrics())
