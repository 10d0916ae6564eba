"""Rule draw_feature_map: gallery and query vectors -> where they lie, in one plane."""

import numpy as np

from gallerist.data.manifest import DISTRACTOR, Manifest
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
    label_of = [dict(zip(each.ids, each.labels, strict=True)) for each in manifests]
    ids = [[each.ids[row] for row in chosen] for each, chosen in zip(sets, rows, strict=True)]
    labels = [[of[name] for name in names] for of, names in zip(label_of, ids, strict=True)]

    ranking = Ranking.read(given.ranking)
    first = {
        query: label_of[0][answers[0]]
        for query, answers in zip(ranking.query_ids, ranking.answers, strict=True)
    }
    # A distractor has no right answer, so none of its answers is the wrong one.
    wrong = np.array(
        [first.get(name) != label_of[1][name] != DISTRACTOR for name in ids[1]], dtype=bool
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
