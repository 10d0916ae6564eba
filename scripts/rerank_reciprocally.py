"""Rule rerank_reciprocally: vectors -> the gallery ranked by k-reciprocal neighbours."""

import numpy as np

from gallerist.features.store import check_comparable, read_sets
from gallerist.search.k_reciprocal import k_reciprocal
from gallerist.settings.ranking import KReciprocal
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, settings = snakemake.input, run.settings_as(KReciprocal)
    sets = snakemake.output.rankings, read_sets(given.galleries), read_sets(given.queries)
    for file, gallery, queries in run.each_search(*sets):
        check_comparable(gallery, queries)
        with run.timed("reranking_seconds"):
            ranking = k_reciprocal(
                np.asarray(queries.vectors),
                queries.ids,
                np.asarray(gallery.vectors),
                gallery.ids,
                settings,
                depth=snakemake.params.depth or len(gallery.ids),
            )
        ranking.write(file)
        run.metrics(queries=len(queries.ids))
