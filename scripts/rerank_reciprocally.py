"""Rule rerank_reciprocally: vectors -> the gallery ranked by k-reciprocal neighbours."""

import numpy as np

from gallerist.features.store import Features, check_comparable
from gallerist.search.k_reciprocal import k_reciprocal
from gallerist.settings.ranking import KReciprocal
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    gallery = Features.read(*snakemake.input.gallery)
    queries = Features.read(*snakemake.input.query)
    check_comparable(gallery, queries)
    with run.timed("reranking_seconds"):
        ranking = k_reciprocal(
            np.asarray(queries.vectors),
            queries.ids,
            np.asarray(gallery.vectors),
            gallery.ids,
            run.settings_as(KReciprocal),
            depth=snakemake.params.depth or len(gallery.ids),
        )
    ranking.write(snakemake.output.ranking)
    run.metrics(queries=len(queries.ids))
