"""Rule draw_similarity: queries and their first answers -> which regions made them match."""

from gallerist.records.record import verify_output
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    for file in (snakemake.input.model, snakemake.input.exported[2]):
        verify_output(file, snakemake.input.training)
    # Imported with the stage open, because a kill may come while they load.
    from gallerist.data.manifest import DISTRACTOR, Manifest
    from gallerist.features.network import NetworkExtractor
    from gallerist.figures.grad_cam import SimilarityMaps
    from gallerist.figures.matched_regions import MatchedRegions, draw
    from gallerist.networks.inference import prepare
    from gallerist.search.ranking import Ranking

    given = snakemake.input
    compute, threads = run.param("compute"), snakemake.threads
    engine = compute["engine"]
    prepare(engine=engine, threads=threads, gpu_precision=compute["gpu_precision"])
    extractor = NetworkExtractor(given.model, given.preprocessing, threads=threads, engine=engine)
    gallery, queries = Manifest.read(given.gallery).by_id(), Manifest.read(given.query).by_id()
    ranking = Ranking.read(given.ranking)
    # One query of each class, so that different things are to be seen.
    first_of = {
        queries[query].label: row for row, query in reversed([*enumerate(ranking.query_ids)])
    }
    first_of.pop(DISTRACTOR, None)
    maps_of, rows = SimilarityMaps(*extractor.feature_maps()), []
    for label in sorted(first_of)[: snakemake.params.strips_drawn]:
        row = first_of[label]
        pair = queries[ranking.query_ids[row]], gallery[ranking.answers[row][0]]
        pixels = [extractor.pictures.load(picture.path) for picture in pair]
        labels = pair[0].label, pair[1].label
        rows.append(MatchedRegions(*pixels, labels, maps_of(*pixels)))
    draw(rows, snakemake.output.similarity, title=run.title)
    run.artifact(snakemake.output.similarity, "pictures")
