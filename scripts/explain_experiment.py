"""Rule explain_experiment: vectors, and a network -> where pictures lie, and what made them match.

What draws a picture is imported where it is drawn: see `workflow.dependencies.DRAWN_BY_SOME`.
"""

from gallerist.data.manifest import Manifest
from gallerist.records.made import verify_output
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, output, params = snakemake.input, dict(snakemake.output.items()), snakemake.params
    ranking = Ranking.read(given.ranking)
    gallery, queries = Manifest.read(given.gallery), Manifest.read(given.query)
    if "similarity" in output:
        for file in (given.model, given.exported[2]):
            verify_output(file, given.training)
        from gallerist.figures.similarity import draw_similarity, open_extractor

        extractor = open_extractor(
            given.model, given.preprocessing, run.param("compute"), snakemake.threads
        )
        path, most = output["similarity"], params.strips_drawn
        draw_similarity(extractor, ranking, gallery, queries, path, most=most, title=run.title)
    if "map" in output:
        from gallerist.evaluation.stated_truth import relevance_of
        from gallerist.features.store import Features
        from gallerist.figures.feature_map import draw_feature_map

        vectors = Features.read(*given.gallery_vectors), Features.read(*given.query_vectors)
        relevance = relevance_of(queries.label_of, gallery.label_of, given.truth)
        how = {"seed": params.seed, "title": run.title, "relevance": relevance}
        draw_feature_map(*vectors, ranking, gallery, queries, output["map"], **how)
    for name in ("map", "similarity"):
        if name in output:
            run.artifact(output[name], "pictures")
