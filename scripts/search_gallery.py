"""Rule search_gallery: gallery and query vectors -> the ranking of every query."""

from gallerist.data.groups import read_groups
from gallerist.features.store import check_comparable, read_sets
from gallerist.search.gallery import search_gallery
from gallerist.search.grouped import rank_grouped
from gallerist.settings.ranking import Search
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, settings = snakemake.input, run.settings_as(Search)
    indexes: set[str] = set()
    sets = snakemake.output.rankings, read_sets(given.galleries), read_sets(given.queries)
    for file, gallery, queries, asking in run.each_search(*sets, run.param("asking")):
        check_comparable(gallery, queries)
        groups, reports = read_groups(given.pictures, asking), []

        def rank(asked, shown, depth, reports=reports):
            """Search one set of vectors with another."""
            kept, threads = depth or max(1, len(shown.ids)), snakemake.threads
            how = {"threads": threads, "kept_in": snakemake.params.indexes}
            found, report = search_gallery(asked, shown, kept, settings, **how)
            reports.append(report)
            return found

        with run.timed("search_seconds"):
            ranking = rank_grouped(queries, gallery, snakemake.params.depth, groups, rank)
        ranking.write(file)
        run.metrics(
            queries=len(queries.ids),
            gallery=len(gallery.ids),
            queries_in_gallery=len(set(queries.ids) & set(gallery.ids)),
        )
        indexes |= {str(each.file) for each in reports if each}
        if report := reports[0]:
            run.metrics({f"recall-{k}": share for k, share in report.recall.items()})
            run.metrics(
                index_bytes=report.index_bytes,
                index_seconds=report.build_seconds,
                queries_per_second=report.queries_per_second,
            )
    if indexes:
        run.tag(indexes=" ".join(sorted(indexes)))
