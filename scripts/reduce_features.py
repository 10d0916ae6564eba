"""Rule reduce_features: vectors of one part -> shorter, or better comparable, ones."""

from gallerist.features.reduction import Reduction
from gallerist.features.store import Features, write_features
from gallerist.io.files import sha256_of_text
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    output = snakemake.output
    features = Features.read(*snakemake.input.features)
    reduction = Reduction.read(snakemake.input.reduction)
    written = write_features(
        (reduction.apply(batch) for batch in features.batches(features.ids)),
        features.ids,
        model=sha256_of_text(f"{features.model} {reduction.sha256}"),
        preprocessing=features.preprocessing,
        vectors=output.vectors,
        ids_file=output.ids,
        origin=output.origin,
        length=reduction.length,
    )
    run.metrics(written.figures())
