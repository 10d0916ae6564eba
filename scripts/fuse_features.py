"""Rule fuse_features: the vectors of several experiments -> one vector a picture.

Where members are weighed, it is by how well they tell classes apart in validation.
"""

from gallerist.data.manifest import Manifest
from gallerist.features.fusion import Fusion, learn_weights
from gallerist.features.store import read_sets, write_parts
from gallerist.io.files import write_json
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, output, names = snakemake.input, dict(snakemake.output.items()), run.param("members")
    weights, sources = {}, {}
    if given.get("learned_from"):
        pictures = Manifest.read(given.learned_from)
        members = dict(zip(names, read_sets(given.members), strict=True))
        vectors = {name: each.rows_of(pictures.ids) for name, each in members.items()}
        learned = learn_weights(vectors, pictures.labels, snakemake.params.seed)
        weights = learned.weights
        for name in names:
            run.metrics({f"weight/{name}": weights[name], f"auc/{name}": learned.auc[name]})
        run.metrics({"auc/fused": learned.fused_auc, "pairs": learned.pairs})
        run.dataset("validation", given.learned_from, pictures.digest, len(pictures))
    for part in run.param("parts"):
        members = dict(zip(names, read_sets(given[part]), strict=True))
        fusion = Fusion(members, weights)
        sources[part] = members[names[0]].ids, fusion
    run.metrics(write_parts(sources, output))
    write_json(output["weights"], fusion.weights)
    run.parameters({f"weight.{name}": weight for name, weight in fusion.weights.items()})
