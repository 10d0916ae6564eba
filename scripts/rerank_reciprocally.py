"""Rule rerank_reciprocally: vectors -> the gallery ranked by k-reciprocal neighbours."""

import numpy as np

from gallerist.data.groups import read_groups
from gallerist.features.store import check_comparable, read_sets
from gallerist.search.grouped import rank_grouped
from gallerist.search.k_reciprocal import k_reciprocal
from gallerist.settings.ranking import KReciprocal
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, settings = snakemake.input, run.settings_as(KReciprocal)
    sets = snakemake.output.rankings, read_sets(given.galleries), read_sets(given.queries)

    def rank(asked, shown, depth):
        """Search one set of vectors with another."""
        data = np.asarray(asked.vectors), asked.ids, np.asarray(shown.vectors), shown.ids
        return k_reciprocal(*data, settings, depth=depth or len(shown.ids))

    for file, gallery, queries, asking in run.each_search(*sets, run.param("asking")):
        check_comparable(gallery, queries)
        groups = read_groups(given.pictures, asking)
        with run.timed("reranking_seconds"):
            ranking = rank_grouped(queries, gallery, snakemake.params.depth, groups, rank)
        ranking.write(file)
        run.metrics(queries=len(queries.ids))
