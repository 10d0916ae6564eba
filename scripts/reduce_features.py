"""Rule reduce_features: vectors of one part -> shorter, or better comparable, ones."""

from gallerist.features.reduction import Reduced, Reduction
from gallerist.features.store import Features, write_features
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    output = snakemake.output
    features = Features.read(*snakemake.input.features)
    reduced = Reduced(features, Reduction.read(snakemake.input.reduction))
    files = output.vectors, output.ids, output.origin
    written = write_features(reduced.batches(features.ids), features.ids, reduced, files)
    run.metrics(written)
