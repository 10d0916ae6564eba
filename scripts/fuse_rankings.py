"""Rule fuse_rankings: the rankings of several experiments -> one, by rank alone."""

import json

from gallerist.search.rank_fusion import fuse_rankings
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    params = snakemake.params
    rankings = [Ranking.read(path) for path in snakemake.input.rankings]
    depth = params.depth or max(len(each) for ranking in rankings for each in ranking.answers)
    fused = fuse_rankings(rankings, depth, params.constant)
    fused.write(snakemake.output.ranking)
    run.parameters(of=" ".join(json.loads(params.members)))
    run.metrics(queries=len(fused.query_ids), rankings=len(rankings))
