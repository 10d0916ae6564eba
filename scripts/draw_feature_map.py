"""Rule draw_feature_map: gallery and query vectors -> where they lie, in one plane."""

import numpy as np

from gallerist.data.manifest import DISTRACTOR, Manifest
from gallerist.evaluation.relevance import Relevance
from gallerist.features.store import Features
from gallerist.figures import feature_map
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, seed = snakemake.input, snakemake.params.seed
    sets = Features.read(*given.gallery), Features.read(*given.query)
    manifests = Manifest.read(given.gallery_manifest), Manifest.read(given.query_manifest)
    limits = feature_map.GALLERY_DRAWN, feature_map.QUERIES_DRAWN
    rows = [
        feature_map.sample(len(each.ids), limit, seed)
        for each, limit in zip(sets, limits, strict=True)
    ]
    ids = [[each.ids[row] for row in chosen] for each, chosen in zip(sets, rows, strict=True)]
    gallery, queries = (each.label_of for each in manifests)
    labels = [[gallery[name] for name in ids[0]], [queries[name] for name in ids[1]]]

    ranking = Ranking.read(given.ranking)
    relevance = Relevance.of_classes(queries, gallery)
    hits = {
        query
        for query, answers in zip(ranking.query_ids, ranking.answers, strict=True)
        if relevance.is_relevant(query, answers[0])
    }
    # A distractor has no relevant answer, so none of its answers is the wrong one.
    wrong = np.array(
        [name not in hits and queries[name] != DISTRACTOR for name in ids[1]], dtype=bool
    )
    places = feature_map.project(
        *(each.vectors[chosen] for each, chosen in zip(sets, rows, strict=True)), seed
    )
    feature_map.draw(
        places[0],
        labels[0],
        places[1],
        labels[1],
        wrong,
        snakemake.output.map,
        title=run.title,
        sampled={"gallery": len(sets[0].ids), "queries": len(sets[1].ids)},
    )
    run.artifact(snakemake.output.map, "pictures")
