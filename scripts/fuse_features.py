"""Rule fuse_features: the vectors of several experiments -> one vector a picture."""

from gallerist.features.fusion import concatenated
from gallerist.features.store import read_sets, write_features
from gallerist.io.files import canonical_json, read_json, sha256_of_text
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    output = snakemake.output
    names = run.param("members")
    members = read_sets(snakemake.input.members)
    learned = read_json(snakemake.input.weights) if snakemake.input.weights else {}
    weights = [float(learned.get(name, 1.0)) for name in names]
    ids = members[0].ids
    origins = [(each.model, each.preprocessing) for each in members]
    # One alone keeps its norms, so that it can be searched by Euclidean distance.
    alone = members[0].described(ids) if len(members) == 1 else None
    written = write_features(
        alone or concatenated([each.batches(ids) for each in members], weights),
        ids,
        model=sha256_of_text(canonical_json([origins, weights])),
        preprocessing=sha256_of_text(canonical_json([each.preprocessing for each in members])),
        vectors=output.vectors,
        ids_file=output.ids,
        origin=output.origin,
        length=sum(
            each.vectors.shape[1] for each, weight in zip(members, weights, strict=True) if weight
        ),
    )
    run.parameters({f"weight.{name}": weight for name, weight in zip(names, weights, strict=True)})
    run.metrics(written.figures())
