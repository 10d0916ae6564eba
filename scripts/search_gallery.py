"""Rule search_gallery: gallery and query vectors -> the ranking of every query."""

import json
import time

from gallerist.features.store import Features, check_comparable
from gallerist.search.gallery import SearchSettings, search_gallery
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    gallery = Features.read(*snakemake.input.gallery)
    queries = Features.read(*snakemake.input.query)
    check_comparable(gallery, queries)
    settings = SearchSettings(**json.loads(snakemake.params.settings))
    depth = snakemake.params.depth or max(1, len(gallery.ids))
    started = time.monotonic()
    ranking, report = search_gallery(queries, gallery, depth, settings, threads=snakemake.threads)
    seconds = time.monotonic() - started
    ranking.write(snakemake.output.ranking)
    run.metrics(
        queries=len(queries.ids),
        gallery=len(gallery.ids),
        search_seconds=seconds,
        queries_in_gallery=len(set(queries.ids) & set(gallery.ids)),
    )
    if report is not None:
        run.metrics({f"recall-{k}": share for k, share in report.recall.items()})
        run.metrics(
            index_bytes=report.index_bytes,
            index_seconds=report.build_seconds,
            queries_per_second=report.queries_per_second,
        )
