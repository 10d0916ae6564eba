"""Rule search_gallery: gallery and query vectors -> the ranking of every query."""

from gallerist.features.store import Features, check_comparable
from gallerist.search.gallery import search_gallery
from gallerist.settings.ranking import Search
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    gallery = Features.read(*snakemake.input.gallery)
    queries = Features.read(*snakemake.input.query)
    check_comparable(gallery, queries)
    depth = snakemake.params.depth or max(1, len(gallery.ids))
    settings = run.settings_as(Search)
    with run.timed("search_seconds"):
        ranking, report = search_gallery(
            queries, gallery, depth, settings, threads=snakemake.threads
        )
    ranking.write(snakemake.output.ranking)
    run.metrics(
        queries=len(queries.ids),
        gallery=len(gallery.ids),
        queries_in_gallery=len(set(queries.ids) & set(gallery.ids)),
    )
    if report is not None:
        run.metrics({f"recall-{k}": share for k, share in report.recall.items()})
        run.metrics(
            index_bytes=report.index_bytes,
            index_seconds=report.build_seconds,
            queries_per_second=report.queries_per_second,
        )
