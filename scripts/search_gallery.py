"""Rule search_gallery: gallery and query vectors -> the ranking of every query."""

from gallerist.features.store import check_comparable, read_sets
from gallerist.search.gallery import search_gallery
from gallerist.settings.ranking import Search
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, settings = snakemake.input, run.settings_as(Search)
    sets = snakemake.output.rankings, read_sets(given.galleries), read_sets(given.queries)
    for file, gallery, queries in run.each_search(*sets):
        check_comparable(gallery, queries)
        depth = snakemake.params.depth or max(1, len(gallery.ids))
        with run.timed("search_seconds"):
            ranking, report = search_gallery(
                queries, gallery, depth, settings, threads=snakemake.threads
            )
        ranking.write(file)
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
