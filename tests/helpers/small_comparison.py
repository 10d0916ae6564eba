"""Results of a small comparison, as the workflow leaves them: rankings, tables, records.

    results = write_results(folder)  # results/small below the folder, without any picture

The tables are made by what the rules call, in the order in which their scripts do.
"""

import json

import numpy as np

from gallerist.capsule.contents import TABLES
from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.evaluation import tables
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.compared import Evaluated, compare
from gallerist.evaluation.curves import curves_of, write_curves
from gallerist.evaluation.relevance import evaluate
from gallerist.evaluation.scores import score
from gallerist.evaluation.tables import read_queries
from gallerist.io.files import sha256_of_file, write_json
from gallerist.io.metric_names import top
from gallerist.records.record import Record, write_record
from gallerist.search.ranking import Ranking
from gallerist.workflow.results import Results

EXPERIMENTS = {"good": 0.5, "seed_1": 1.5, "seed_2": 1.7}
"""Experiment -> how much chance there is in its distances."""

GROUPS = {"good": ["good"], "seed": ["seed_1", "seed_2"]}
SETTINGS = IntervalSettings(seed=7, rounds=200)
KS, FURTHER, DEPTH = (1, 3), ("mAP", "mAP@3", "nDCG@3"), 1000
COSTS = {
    "training_seconds": 12.345678901234,
    "trunk_seconds": 0.5,
    "extraction_images_per_second": 101.25,
    "epochs_run": 3.0,
    "parameters": 4567.0,
    "parameters_trained": 456.0,
    "feature_length": 128.0,
}


def picture(number, label, part, original=None):
    identifier = f"{number:016x}"
    path = f"/home/somebody/pictures/{part}/{label}/{number}.png"
    return Picture(identifier, path, label, part, original or identifier, 9, 9, "0" * 16)


def manifests():
    """A gallery of three classes and distractors; queries, two an original, one without a class."""
    labels = [*(["ant"] * 5), *(["bee"] * 4), *(["cat"] * 4), *([DISTRACTOR] * 3)]
    gallery = [picture(100 + n, label, "gallery") for n, label in enumerate(labels)]
    queries = [
        picture(200 + n, label, "query", f"{900 + n // 2:016x}")
        for n, label in enumerate([*(["ant"] * 6), *(["bee"] * 6), *(["cat"] * 4), "dog"])
    ]
    return Manifest(tuple(gallery)), Manifest(tuple(queries))


def rank(gallery, queries, chance, seed):
    """Every gallery picture for every query, those of its class nearer but for chance."""
    random = np.random.default_rng(seed)
    answers, distances = [], []
    for query in queries:
        far = [float(each.label != query.label) for each in gallery]
        drawn = np.array(far) + chance * random.random(len(far))
        order = np.argsort(drawn)
        answers.append(tuple(gallery.ids[place] for place in order))
        distances.append(tuple(drawn[order].tolist()))
    return Ranking(tuple(queries.ids), tuple(answers), tuple(distances))


def write_results(folder):
    """Write results/small below a folder; return its `Results`."""
    results = Results(folder / "results/small")
    gallery, queries = manifests()
    gallery.write(results.file("manifests/gallery.csv"))
    queries.write(results.file("manifests/query.csv"))
    written = [
        _evaluate(results, name, rank(gallery, queries, chance, seed), gallery, queries)
        for seed, (name, chance) in enumerate(EXPERIMENTS.items())
    ]
    _compare(results, *zip(*written, strict=True))
    return results


def hashes(results, *names):
    return {results.file(name): sha256_of_file(results.file(name)) for name in names}


def record(stage, **further):
    return Record(
        stage=stage,
        dataset="small",
        execution="0" * 32,
        title=stage,
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:00:01+00:00",
        status="finished",
        versions={"gallerist": "0.1.0", "numpy": "2"},
        **further,
    )


def _evaluate(results, name, ranking, gallery, queries):
    ranking.write(results.file(f"rankings/{name}.csv"))
    place = f"evaluation/{name}"
    kept = Ranking.read(results.file(f"rankings/{name}.csv"))
    evaluation = evaluate(kept, queries.label_of, gallery.label_of)
    ranks = evaluation.ranks.ended_by_itself(DEPTH)
    scores = score(ranks, queries, evaluation.queries, [*map(top, KS), *FURTHER])
    counts = scores.counts(excluded=evaluation.excluded, gallery=gallery)
    curves = curves_of(evaluation, ranks, scores.originals, gallery, SETTINGS, by_distance=True)
    tables.write_queries(
        results.file(f"{place}/queries.csv"), scores, queries, evaluation.ranks, evaluation.excluded
    )
    tables.write_classes(results.file(f"{place}/classes.csv"), scores, SETTINGS)
    write_curves(results.file(f"{place}/curves.csv"), curves)
    parameters = {
        "k": json.dumps(KS),
        "metrics": json.dumps(FURTHER),
        "depth": DEPTH,
        "confidence": SETTINGS.confidence,
        "bootstrap_rounds": SETTINGS.rounds,
        "seed": SETTINGS.seed,
        "by_distance": True,
    }
    used = f"rankings/{name}.csv", "manifests/gallery.csv", "manifests/query.csv"
    write_record(
        results.file(f"{place}/evaluation.record.json"),
        record("evaluate_retrieval", parameters=parameters, inputs=hashes(results, *used)),
    )
    row = record(
        "experiment",
        experiment=name,
        parameters={"epochs": 3, "train_network.store": "/home/somebody/store"},
        metrics=COSTS | counts,
        tags={"weights": "none"},
    )
    write_record(results.file(f"{place}/experiment.record.json"), row)
    metrics = {"experiment": name, **counts, **scores.as_json(SETTINGS)}
    write_json(results.file(f"{place}/metrics.json"), metrics)
    return row, metrics


def _compare(results, rows, metrics):
    kinds = ("queries.csv", "curves.csv", "experiment.record.json")
    found = {
        name: Evaluated(read_queries(results.file(f"evaluation/{name}/queries.csv")), each, row)
        for name, each, row in zip(EXPERIMENTS, metrics, rows, strict=True)
    }
    result = compare(found, GROUPS, "top-1", SETTINGS)
    result.write(**{name: results.file(path) for name, path in TABLES.items()})
    used = [f"evaluation/{name}/{kind}" for kind in kinds for name in EXPERIMENTS]
    parameters = {f"groups.{name}": json.dumps(members) for name, members in GROUPS.items()} | {
        "decided_by": "top-1",
        "confidence": SETTINGS.confidence,
        "bootstrap_rounds": SETTINGS.rounds,
        "seed": SETTINGS.seed,
    }
    write_record(
        results.file("comparison/comparison.record.json"),
        record("compare_experiments", parameters=parameters, inputs=hashes(results, *used)),
    )
