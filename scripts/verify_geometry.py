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
    settings, reading = run.settings_as(GeometricVerification), run.param("reading")
    detector = Detector(settings.key_points, settings.max_side, settings.max_points, **reading)

    def verified(ranking, pictures):
        """The ranking in its new order."""

        def detected(identifier):
            return detector.detect_in_file(pictures[identifier].path)

        with run.timed("reranking_seconds"):
            return verify(ranking, detected, settings, threads=snakemake.threads)

    def matched(query, answer):
        """Two pictures and what agrees in them."""
        one, other = (detector.prepare(each.path) for each in (query, answer))
        points = detector.detect(one), detector.detect(other)
        caption = f"{query.label} and {answer.label}"
        return MatchedPictures(one, other, *points, match_key_points(*points, settings), caption)

    files = output.rankings, given.rankings, given.galleries, given.queries, output.matches
    for after, before, gallery, queries, matches in run.each_search(*files):
        pictures = {**Manifest.read(gallery).by_id(), **Manifest.read(queries).by_id()}
        ranking = verified(Ranking.read(before), pictures)
        ranking.write(after)
        run.metrics(queries=len(ranking.query_ids))
        # Those whose first answer agrees best: where there is something to see.
        nearest = sorted(
            (distances[0], query, answers[0])
            for query, answers, distances in zip(
                ranking.query_ids, ranking.answers, ranking.distances, strict=True
            )
            if answers
        )
        pairs = [matched(pictures[one], pictures[other]) for _, one, other in nearest[:DRAWN]]
        draw(pairs, matches, title=f"{run.title}: matches")
        run.artifact(matches, "pictures")
    run.parameters(run.settings)
