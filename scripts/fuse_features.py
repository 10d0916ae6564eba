"""Rule fuse_features: the vectors of several experiments -> one vector a picture."""

from gallerist.features.fusion import Fusion
from gallerist.features.store import read_sets, write_features
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    output = snakemake.output
    sets = read_sets(snakemake.input.members)
    members = dict(zip(run.param("members"), sets, strict=True))
    fusion = Fusion.of(members, snakemake.input.weights or None)
    ids = sets[0].ids
    files = output.vectors, output.ids, output.origin
    written = write_features(fusion.batches(ids), ids, fusion, files)
    run.parameters({f"weight.{name}": weight for name, weight in fusion.weights.items()})
    run.metrics(written)
