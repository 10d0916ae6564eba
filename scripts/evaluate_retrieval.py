"""Rule evaluate_retrieval: a ranking -> metrics with intervals, lists, pictures, its row."""

import logging

from gallerist.data.manifest import Manifest
from gallerist.evaluation import answers
from gallerist.evaluation import scores as assessment
from gallerist.evaluation import summary as experiment_row
from gallerist.evaluation.evaluate import evaluate
from gallerist.evaluation.evaluation_curves import HIT_RATE, curves_of, write_curves
from gallerist.evaluation.metrics import average_precision_at_k
from gallerist.figures.evaluation import KINDS, Drawn, draw_classes, draw_strips
from gallerist.io.files import write_json
from gallerist.records.record import read_record
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

logger = logging.getLogger("gallerist")

with stage(snakemake) as run:
    params, output = snakemake.params, snakemake.output
    experiment, dataset = snakemake.wildcards.experiment, snakemake.config["dataset"]["name"]
    settings = assessment.Settings(params.seed, params.bootstrap_rounds, params.confidence)
    ks, further = sorted(run.param("k")), run.param("metrics")
    gallery = Manifest.read(snakemake.input.gallery)
    queries = Manifest.read(snakemake.input.query)
    ranking = Ranking.read(snakemake.input.ranking)
    evaluation = evaluate(
        ranking,
        dict(zip(queries.ids, queries.labels, strict=True)),
        dict(zip(gallery.ids, gallery.labels, strict=True)),
    )
    evaluation.require_judged()
    ids = [result.query_id for result in evaluation.results]
    ranks = assessment.ranks_of_right(ranking, queries, gallery, ids, depth=params.depth)
    judged = assessment.assess(ranks, queries, ids, [*(f"top-{k}" for k in ks), *further])
    for name, reason in judged.unknown.items():
        logger.warning("%s is left out: %s", name, reason)

    measured = assessment.measured(judged, settings)
    counts = {
        "queries": len(ids),
        "queries_excluded": len(evaluation.excluded),
        "originals": len(set(judged.originals)),
        "gallery_images": len(gallery),
    }
    write_json(
        output.metrics,
        {"experiment": experiment, **counts, "confidence": params.confidence, **measured},
    )
    shown_answers = max(*ks, params.answers_drawn)
    answers.write_answers(output.answers, evaluation, queries, gallery, shown_answers)
    first_right = [result.first_right for result in evaluation.results]
    assessment.write_queries(
        output.queries, judged, queries, first_right=first_right, excluded=evaluation.excluded
    )
    assessment.write_classes(output.classes, judged, settings)
    curves = curves_of(
        evaluation, ranks, judged.originals, gallery, settings, by_distance=params.by_distance
    )
    write_curves(output.curves, curves)

    draw_strips(
        evaluation,
        average_precision_at_k(ranks, min(int(ranks.depth.min()), len(gallery))),
        queries,
        gallery,
        {kind: output[kind] for kind in KINDS},
        drawn=Drawn(params.answers_drawn, params.strips_drawn, run.param("queries_drawn")),
        title=run.title,
    )
    draw_classes(
        evaluation,
        judged,
        settings,
        k=ks[0],
        confusion=output.confusion,
        bars=output.bars,
        title=run.title,
    )

    hits = curves[HIT_RATE]
    upstream = [read_record(path) for path in snakemake.input.records]
    figures = {**assessment.flat(measured["metrics"]), **counts}
    run.metrics(figures)
    weights = experiment_row.weights(upstream)
    run.tag(weights=weights)
    note = experiment_row.note(experiment, dataset, weights, measured["metrics"], counts["queries"])
    run.tag(**{"mlflow.note.content": note})
    for image_set in {each.name: each for record in upstream for each in record.datasets}.values():
        run.dataset(image_set.name, image_set.path, image_set.digest, image_set.images)
    tables = ("metrics", "answers", "queries", "classes", "curves")
    shown = [
        *((path, "training") for path in snakemake.input.training),
        *((output[name], "pictures") for name in (*KINDS, "confusion", "bars")),
        *((path, "pictures") for path in snakemake.input.pictures),
        *((output[name], "tables") for name in tables),
    ]
    for path, folder in shown:
        run.artifact(path, folder)
    run.compare(
        output.row,
        experiment,
        parameters={
            **experiment_row.outline(upstream, weights),
            **experiment_row.upstream_parameters(upstream, experiment),
            **{f"evaluate_retrieval.{name}": value for name, value in params.items()},
        },
        metrics={**figures, **experiment_row.costs(upstream)},
        curves={
            **experiment_row.training_curves(upstream),
            experiment_row.HIT_RATE: experiment_row.hit_rate_points(hits.at, hits.means),
        },
        artifacts=shown,
    )
