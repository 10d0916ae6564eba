"""Rule evaluate_retrieval: a ranking -> its accuracy, lists, pictures and comparison row."""

import json
import logging
from pathlib import Path

from gallerist import answer_strips, answers, experiment_row, plots
from gallerist.evaluation import evaluate
from gallerist.files import write_json
from gallerist.manifest import Manifest
from gallerist.ranking import Ranking
from gallerist.records import read_record
from gallerist.stage import stage

with stage(snakemake) as run:
    params, output = snakemake.params, snakemake.output
    experiment, dataset = snakemake.wildcards.experiment, snakemake.config["dataset"]["name"]
    ks = sorted(json.loads(params.k))
    gallery = Manifest.read(snakemake.input.gallery)
    queries = Manifest.read(snakemake.input.query)
    evaluation = evaluate(
        Ranking.read(snakemake.input.ranking),
        dict(zip(queries.ids, queries.labels, strict=True)),
        dict(zip(gallery.ids, gallery.labels, strict=True)),
    )
    evaluation.require_judged()
    rates = {k: evaluation.hit_rate(k) for k in ks}
    counts = {
        "queries": len(evaluation.results),
        "queries_excluded": len(evaluation.excluded),
        "gallery_images": len(gallery),
    }
    write_json(output.metrics, {"experiment": experiment, "hit_rate": rates, **counts})
    answers.write_answers(output.answers, evaluation, queries, gallery)
    answers.write_queries(output.queries, evaluation, queries, ks)
    answers.write_classes(output.classes, evaluation, ks)

    named = json.loads(params.queries_drawn)
    chosen = [picture.id for picture in queries if Path(picture.path).name in named]
    unknown = set(named) - {Path(path).name for path in queries.paths}
    if unknown:
        logging.getLogger("gallerist").warning("no query is called %s", ", ".join(sorted(unknown)))
    drawn = {
        "worst": evaluation.worst(params.worst_drawn),
        "chosen": [result for result in evaluation.results if result.query_id in chosen],
    }
    paths = dict(zip(gallery.ids, gallery.paths, strict=True))
    query_paths = dict(zip(queries.ids, queries.paths, strict=True))
    for kind, results in drawn.items():
        rows = answer_strips.strips(results, paths, query_paths, params.answers_drawn)
        answer_strips.draw(rows, output[kind], title=f"{dataset}, {experiment}: {kind} queries")
    plots.draw_confusion(
        *evaluation.confusion(), output.confusion, title=f"{dataset}, {experiment}"
    )

    upstream = [read_record(path) for path in snakemake.input.records]
    weights = experiment_row.of_stage(upstream, "train_network")[0].tags["weights"]
    figures = {**{f"top-{k}": rate for k, rate in rates.items()}, **counts}
    run.metrics(figures)
    run.tag(weights=weights)
    run.tag(
        **{
            "mlflow.note.content": experiment_row.note(
                experiment, dataset, weights, rates, counts["queries"]
            )
        }
    )
    for image_set in {each.name: each for record in upstream for each in record.datasets}.values():
        run.dataset(image_set.name, image_set.path, image_set.digest, image_set.images)
    shown = [
        *((snakemake.input[name], "training") for name in ("curves", "history")),
        *((output[name], "pictures") for name in ("worst", "chosen", "confusion")),
        *((output[name], "tables") for name in ("metrics", "answers", "queries", "classes")),
    ]
    for path, folder in shown:
        run.artifact(path, folder)
    run.compare(
        output.row,
        experiment,
        parameters={
            **experiment_row.upstream_parameters(upstream),
            **{f"evaluate_retrieval.{name}": value for name, value in params.items()},
        },
        metrics={**figures, **experiment_row.costs(upstream)},
        curves=experiment_row.of_stage(upstream, "train_network")[0].curves,
        artifacts=shown,
    )
