"""Rule evaluate_retrieval: a ranking -> metrics with intervals, lists, pictures, its row."""

from gallerist.data.domains import read_domains
from gallerist.data.manifest import Manifest
from gallerist.evaluation import over_folds, stated_truth, summary, tables
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.curves import HIT_RATE, curves_of
from gallerist.evaluation.relevance import evaluate_parts
from gallerist.evaluation.scores import flatten, score
from gallerist.figures.answer_strips import StripSettings, draw_strips
from gallerist.figures.classes import draw_classes
from gallerist.figures.feature_map import draw_feature_map, features_in
from gallerist.figures.risk_coverage import report_abstaining
from gallerist.figures.training_curves import draw_training_curves
from gallerist.io.files import write_json
from gallerist.io.metric_names import top
from gallerist.records.record import read_record
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, output, params = snakemake.input, snakemake.output, snakemake.params
    made, by_class = dict(output.items()), "classes" in dict(output.items())
    experiment, dataset = snakemake.wildcards.experiment, snakemake.config["dataset"]["name"]
    settings = IntervalSettings(params.seed, params.bootstrap_rounds, params.confidence)
    ks, further, reading = sorted(run.param("k")), run.param("metrics"), run.param("reading")
    gallery, queries = map(Manifest.read, (given.gallery, given.query))
    ranking, domains = Ranking.read(given.ranking), read_domains(given.domains)
    right = stated_truth.relevance_of(queries.label_of, gallery.label_of, given.truth)
    evaluation = evaluate_parts(ranking, queries, gallery, run.param("asking"), right)
    ranks = evaluation.ranks.ended_by_itself(params.depth)
    scores = score(ranks, queries, evaluation.queries, [*map(top, ks), *further], domains)
    counts = scores.counts(excluded=evaluation.excluded, gallery=gallery)
    found = scores.as_json(settings, by_class=by_class)
    found |= over_folds.folds_as_json(scores, evaluation.groups, params.confidence)
    known = evaluation, ranks, scores.originals, gallery, settings
    curves = curves_of(*known, by_distance=params.by_distance)
    if given.validation:
        asked = ranking, queries, gallery, given.validation, run.param("abstaining")
        found["abstaining"] = report_abstaining(*asked, output, run.title)
    head = {"experiment": experiment, **counts, "confidence": params.confidence}
    write_json(output.metrics, head | ({"truth": "stated"} if given.truth else {}) | found)
    listed = max(*ks, params.answers_drawn)
    tables.write_all(made, evaluation, scores, curves, queries, gallery, settings, listed)
    strips = StripSettings(params.answers_drawn, params.strips_drawn, run.param("queries_drawn"))
    draw_strips(evaluation, ranks, queries, gallery, output, strips, title=run.title, **reading)
    draw_classes(evaluation, scores, settings, made, k=ks[0], title=run.title)
    if given.history:
        draw_training_curves(given.history, output.training, title=run.title)
    if "map" in made:
        vectors = features_in(given.gallery_vectors, given.query_vectors)
        drawn = {"seed": params.seed, "title": run.title, "relevance": right}
        draw_feature_map(*vectors, ranking, gallery, queries, output.map, **drawn)
    upstream = [read_record(path) for path in given.records]
    run.metrics(figures := {**flatten(**found), **counts})
    run.tag(**summary.tags(upstream, experiment, dataset, found["metrics"], len(scores.queries)))
    shown = summary.show(run, upstream, made, given.pictures, given.history)
    row = summary.row(upstream, experiment, params.items(), figures, curves[HIT_RATE])
    run.compare(output.row, experiment, **row, artifacts=shown)
