"""Rule learn_fusion: the members' vectors of validation pictures -> how much each member counts."""

import json

from gallerist.data.manifest import Manifest
from gallerist.features.fusion import learn_weights
from gallerist.features.store import read_sets
from gallerist.io.files import write_json
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    names = json.loads(snakemake.params.members)
    validation = Manifest.read(snakemake.input.validation)
    members = dict(zip(names, read_sets(snakemake.input.members), strict=True))
    learned = learn_weights(
        {name: each.rows_of(validation.ids) for name, each in members.items()},
        validation.labels,
        snakemake.params.seed,
    )
    write_json(snakemake.output.weights, dict(learned.weights))
    for name in names:
        run.metrics({f"weight/{name}": learned.weights[name], f"auc/{name}": learned.auc[name]})
    run.metrics({"auc/fused": learned.fused_auc, "pairs": learned.pairs})
    run.dataset("validation", snakemake.input.validation, validation.digest, len(validation))
