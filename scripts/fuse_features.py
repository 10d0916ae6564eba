"""Rule fuse_features: the vectors of several experiments -> one vector a picture."""

from gallerist.features.fusion import Fusion
from gallerist.features.store import read_sets, write_parts
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, names, sources = snakemake.input, run.param("members"), {}
    for part in run.param("parts"):
        members = read_sets(given[part])
        fusion = Fusion.of(dict(zip(names, members, strict=True)), given.weights or None)
        sources[part] = members[0].ids, fusion
    run.metrics(write_parts(sources, dict(snakemake.output.items())))
    run.parameters({f"weight.{name}": weight for name, weight in fusion.weights.items()})
