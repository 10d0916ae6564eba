"""Rule explain_experiment: a network and a ranking -> which regions made two pictures match."""

from gallerist.data.manifest import Manifest
from gallerist.figures.similarity import draw_similarity, open_extractor
from gallerist.records.made import verify_output
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, output, params = snakemake.input, snakemake.output, snakemake.params
    for file in (given.model, given.exported[2]):
        verify_output(file, given.training)
    ranking = Ranking.read(given.ranking)
    gallery, queries = Manifest.read(given.gallery), Manifest.read(given.query)
    extractor = open_extractor(
        given.model, given.preprocessing, run.param("compute"), snakemake.threads
    )
    how = {"most": params.strips_drawn, "title": run.title}
    draw_similarity(extractor, ranking, gallery, queries, output.similarity, **how)
    run.artifact(output.similarity, "pictures")
