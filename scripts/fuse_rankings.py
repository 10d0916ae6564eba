"""Rule fuse_rankings: the rankings of several experiments -> one, by rank alone."""

from gallerist.features.fusion import fused_ranks
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    params = snakemake.params
    rankings = [Ranking.read(path) for path in snakemake.input.rankings]
    depth = params.depth or max(len(each) for ranking in rankings for each in ranking.answers)
    fused = fused_ranks(rankings, depth, params.constant)
    fused.write(snakemake.output.ranking)
    run.parameters(of=" ".join(run.param("members")))
    run.metrics(queries=len(fused.query_ids), rankings=len(rankings))
