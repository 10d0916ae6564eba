"""Rule search_gallery: gallery and query vectors -> the ranking of every query."""

import time

from gallerist.features import Features, check_comparable
from gallerist.search import search
from gallerist.stage import stage

with stage(snakemake) as run:
    gallery = Features.read(*snakemake.input.gallery)
    queries = Features.read(*snakemake.input.query)
    check_comparable(gallery, queries)
    started = time.monotonic()
    ranking = search(
        queries.vectors, queries.ids, gallery.vectors, gallery.ids, snakemake.params.depth
    )
    seconds = time.monotonic() - started
    ranking.write(snakemake.output.ranking)
    run.metrics(
        queries=len(queries.ids),
        gallery=len(gallery.ids),
        search_seconds=seconds,
        queries_in_gallery=len(set(queries.ids) & set(gallery.ids)),
    )
