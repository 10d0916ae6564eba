"""Rule fetch_weights: a backbone's name -> its pretrained weights, and which they are."""

from gallerist.networks.weights import fetch
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    params = snakemake.params
    weights = fetch(params.backbone, params.weights, params.kept)
    weights.write(snakemake.output.weights)
    run.parameters(weights_used=weights.label, weights_sha256=weights.sha256 or "")
    run.tag(weights=weights.label)
