"""Rule verify_geometry: the first answers ordered again by agreeing key points, and a picture."""

from gallerist.data.manifest import Manifest
from gallerist.features.key_points import Detector
from gallerist.figures.matched_key_points import MatchedPictures, draw
from gallerist.search.geometric_verification import match_key_points, verify
from gallerist.search.ranking import Ranking
from gallerist.settings.ranking import GeometricVerification
from gallerist.workflow.stage import stage

DRAWN = 4
"""Queries that are drawn beside their first answer."""

with stage(snakemake) as run:
    given, output = snakemake.input, snakemake.output
    settings = run.settings_as(GeometricVerification)
    pictures = {**Manifest.read(given.gallery).by_id(), **Manifest.read(given.query).by_id()}
    kind, reading = settings.key_points, run.param("reading")
    detector = Detector(kind, settings.max_side, settings.max_points, **reading)
    with run.timed("reranking_seconds"):
        ranking = verify(
            Ranking.read(given.ranking),
            lambda identifier: detector.detect_in_file(pictures[identifier].path),
            settings,
            threads=snakemake.threads,
        )
    ranking.write(output.ranking)
    run.metrics(queries=len(ranking.query_ids))

    # Those whose first answer agrees best: where there is something to see.
    nearest = sorted(
        (distances[0], query, answers[0])
        for query, answers, distances in zip(
            ranking.query_ids, ranking.answers, ranking.distances, strict=True
        )
        if answers
    )
    pairs = []
    for _, query, answer in nearest[:DRAWN]:
        one, other = (detector.prepare(pictures[each].path) for each in (query, answer))
        points = detector.detect(one), detector.detect(other)
        matches = match_key_points(*points, settings)
        caption = " and ".join(pictures[each].label for each in (query, answer))
        pairs.append(MatchedPictures(one, other, *points, matches, caption))
    draw(pairs, output.matches, title=f"{run.title}: matches")
    run.parameters(run.settings)
    run.artifact(output.matches, "pictures")
