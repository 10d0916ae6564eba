"""Rule extend_training: training pictures and a pool -> fuller training classes."""

from gallerist.data.manifest import Manifest
from gallerist.data.pool import extend_training, write_refusals
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    params = snakemake.params
    training = Manifest.read(snakemake.input.training)
    extension = extend_training(
        training,
        Manifest.read(snakemake.input.pool),
        [Manifest.read(path) for path in snakemake.input.held_out],
        per_class=params.per_class,
        distance=params.distance,
        seed=params.seed,
    )
    write_refusals(snakemake.output.refusals, extension.refusals)
    extension.manifest.write(snakemake.output.manifest)
    run.metrics(
        images_added=len(extension.manifest) - len(training),
        images_refused=len(extension.refusals),
        images_short=sum(extension.shortfalls.values()),
    )
    extended = extension.manifest
    run.dataset("extended training", snakemake.output.manifest, extended.digest, len(extended))
    run.artifact(snakemake.output.refusals)
