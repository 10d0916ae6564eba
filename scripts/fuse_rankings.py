"""Rule fuse_rankings: the rankings of several experiments -> one, by rank alone."""

from gallerist.search.rank_fusion import fuse_rankings
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    params, members = snakemake.params, run.param("members")
    given = [Ranking.read(path) for path in snakemake.input.rankings]
    searches = [given[start : start + len(members)] for start in range(0, len(given), len(members))]
    for file, rankings in run.each_search(snakemake.output.rankings, searches):
        depth = params.depth or max(len(each) for ranking in rankings for each in ranking.answers)
        fused = fuse_rankings(rankings, depth, params.constant)
        fused.write(file)
        run.metrics(queries=len(fused.query_ids), rankings=len(rankings))
    run.parameters(of=" ".join(members))
