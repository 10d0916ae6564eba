"""What plain.py makes of its rankings: evaluations, figures, the comparison, the challenge."""

from pathlib import Path
from typing import Any

import numpy as np

from gallerist.data.manifest import DISTRACTOR, Manifest
from gallerist.evaluation import comparison, tables
from gallerist.evaluation.curves import curves_of, write_curves
from gallerist.evaluation.relevance import Relevance, evaluate
from gallerist.evaluation.scores import score
from gallerist.features.store import Features
from gallerist.io.files import write_json, write_text
from gallerist.io.metric_names import top
from gallerist.search.ranking import Ranking
from gallerist.workflow.experiments import Experiment
from gallerist.workflow.plan import CHALLENGE_PARTS


def evaluate_experiment(run: Any, experiment: Experiment) -> dict[str, Any]:
    """Write the metrics, tables and strips of one experiment; return its metrics and curves."""
    from gallerist.figures.answer_strips import KINDS, StripSettings, draw_strips
    from gallerist.figures.classes import draw_classes

    asked, name = run.config["evaluation"], experiment.name
    gallery, queries = run.manifests["gallery"], run.manifests["query"]
    ranking = Ranking.read(run.plan.ranking(name))
    found = evaluate(ranking, queries.label_of, gallery.label_of)
    ranks = found.ranks.ended_by_itself(run.config["search"]["depth"])
    ks = sorted(asked["k"])
    scores = score(ranks, queries, found.queries, [*map(top, ks), *asked["metrics"]])
    counts = scores.counts(excluded=found.excluded, gallery=gallery)
    figures = scores.as_json(run.intervals)
    head = {"experiment": name, **counts, "confidence": asked["confidence"]}
    by_distance = experiment.ranked_by_distance
    curves = curves_of(
        found, ranks, scores.originals, gallery, run.intervals, by_distance=by_distance
    )

    def file(end: str) -> str:
        return str(run.file(f"evaluation/{name}/{end}"))

    write_json(file("metrics.json"), {**head, **figures})
    listed = max(*ks, asked["answers_drawn"])
    tables.write_answers(file("answers.csv"), found, queries, gallery, listed)
    tables.write_queries(file("queries.csv"), scores, queries, found.ranks, found.excluded)
    tables.write_classes(file("classes.csv"), scores, run.intervals)
    write_curves(file("curves.csv"), curves)
    strips = StripSettings(asked["answers_drawn"], asked["strips_drawn"], asked["queries_drawn"])
    pictures = {kind: file(f"{kind}.png") for kind in (*KINDS, "confusion")}
    pictures["bars"] = file("classes.png")
    title = run.title(name)
    draw_strips(found, ranks, queries, gallery, pictures, strips, title=title)
    draw_classes(found, scores, run.intervals, pictures, k=ks[0], title=title)
    draw_map(run, name, ranking)
    if experiment.kind == "network":
        draw_similarity(run, name, ranking)
    return {**head, **figures}


def draw_map(run: Any, name: str, ranking: Ranking) -> None:
    """Draw where gallery and queries lie, as scripts/draw_feature_map.py does."""
    from gallerist.figures import feature_map

    parts, seed = ("gallery", "query"), run.config["evaluation"]["seed"]
    sets = [Features.read(*run.plan.features(name, part)) for part in parts]
    limits = feature_map.GALLERY_DRAWN, feature_map.QUERIES_DRAWN
    rows = [
        feature_map.sample(len(each.ids), limit, seed)
        for each, limit in zip(sets, limits, strict=True)
    ]
    ids = [[each.ids[row] for row in chosen] for each, chosen in zip(sets, rows, strict=True)]
    gallery, queries = (run.manifests[part].label_of for part in parts)
    relevance = Relevance.of_classes(queries, gallery)
    firsts = {
        query: answers[0] for query, answers in zip(ranking.query_ids, ranking.answers, strict=True)
    }
    wrong = [
        queries[each] != DISTRACTOR and not relevance.is_relevant(each, firsts[each])
        for each in ids[1]
    ]
    places = feature_map.project(
        *(each.vectors[chosen] for each, chosen in zip(sets, rows, strict=True)), seed
    )
    feature_map.draw(
        places[0],
        [gallery[each] for each in ids[0]],
        places[1],
        [queries[each] for each in ids[1]],
        np.array(wrong, dtype=bool),
        run.file(f"evaluation/{name}/map.png"),
        title=run.title(name),
        sampled={"gallery": len(sets[0].ids), "queries": len(sets[1].ids)},
    )


def draw_similarity(run: Any, name: str, ranking: Ranking) -> None:
    """Draw which regions made a query of each class match, as scripts/draw_similarity.py does."""
    from gallerist.figures.grad_cam import SimilarityMaps
    from gallerist.figures.matched_regions import MatchedRegions, draw

    extractor = run.extractor(run.plan.experiments[name])
    gallery, queries = (run.manifests[part].by_id() for part in ("gallery", "query"))
    rows = reversed([*enumerate(ranking.query_ids)])
    first_of = {queries[query].label: row for row, query in rows}
    first_of.pop(DISTRACTOR, None)
    maps_of, drawn = SimilarityMaps(extractor.network), []
    for label in sorted(first_of)[: run.config["evaluation"]["strips_drawn"]]:
        row = first_of[label]
        pair = queries[ranking.query_ids[row]], gallery[ranking.answers[row][0]]
        pixels = [extractor.pictures.load(picture.path) for picture in pair]
        alike = maps_of(*pixels)
        labels = pair[0].label, pair[1].label
        drawn.append(
            MatchedRegions(
                *pixels, alike.query_map, alike.answer_map, labels=labels, cosine=alike.cosine
            )
        )
    draw(drawn, run.file(f"evaluation/{name}/similarity.png"), title=run.title(name))


def compare(run: Any, metrics: list[dict[str, Any]]) -> None:
    """Test the differences, and draw all experiments side by side."""
    from gallerist.evaluation.curves import AMONG_DISTRACTORS, HIT_RATE, PRECISION, read_curves
    from gallerist.evaluation.significance import find_differences, write_differences
    from gallerist.evaluation.tables import read_queries
    from gallerist.figures import comparison as figures
    from gallerist.figures.style import styles

    asked, names = run.config["evaluation"], [each["experiment"] for each in metrics]

    def file(end: str) -> str:
        return str(run.file(f"comparison/{end}"))

    scores = {name: read_queries(run.file(f"evaluation/{name}/queries.csv")) for name in names}
    found = find_differences(scores, run.intervals)
    write_differences(file("differences.csv"), found)
    comparison.write_table(file("metrics.csv"), comparison.metric_table(metrics))
    look = {"title": run.title("comparison"), "level": asked["confidence"]}
    figures.draw_comparison(
        {each["experiment"]: hit_rates(each, asked["k"]) for each in metrics},
        file("comparison.png"),
        queries=metrics[0]["queries"],
        intervals=comparison.intervals(metrics),
        configured=names,
        **look,
    )
    curves = {name: read_curves(run.file(f"evaluation/{name}/curves.csv")) for name in names}
    for kind, draw, end in (
        (HIT_RATE, figures.draw_hit_rates, "hit_rates.png"),
        (PRECISION, figures.draw_precision_recall, "precision_recall.png"),
        (AMONG_DISTRACTORS, figures.draw_hit_rates_among_distractors, "growth.png"),
    ):
        known = {name: each[kind] for name, each in curves.items() if kind in each}
        draw(known, styles(names), file(end), **look)


def hit_rates(metrics: dict[str, Any], ks: list[int]) -> dict[int, float]:
    """K -> the hit rate at k."""
    return {k: metrics["metrics"][top(k)]["mean"] for k in sorted(ks)}


def grade_challenge(run: Any) -> None:
    """Write every experiment's answers to the challenge, and grade them."""
    from gallerist.challenge import grading, key_fault
    from gallerist.challenge import tables as grade_tables
    from gallerist.challenge.answer_file import file_names, name_answers
    from gallerist.challenge.drawing import TRUTH_FILE
    from gallerist.challenge.truth import Truth, match
    from gallerist.figures.comparison import draw_hit_rates_among_distractors
    from gallerist.figures.style import styles

    challenge, experiments = run.config["challenge"], run.plan.experiments
    gallery, queries = (run.manifests[part] for part in CHALLENGE_PARTS)
    names = file_names(queries, "query").values(), file_names(gallery, "gallery").values()
    truth, differences = match(Truth.read(run.file(f"challenge/source/{TRUTH_FILE}")), *names)
    answers = {}
    for name in experiments:
        ranking = Ranking.read(run.plan.ranking(name, "challenge/"))
        submit(run, name, ranking, queries, gallery)
        answers[name] = name_answers(ranking, queries, gallery)
    grades = {name: grading.grade(each, truth, run.intervals) for name, each in answers.items()}
    study = key_fault.study(answers, grades, truth, run.intervals)
    curves = {
        name: grading.hit_rate_among_distractors(
            each, truth, run.intervals, step=challenge["distractor_step"]
        )
        for name, each in answers.items()
        if experiments[name].ranked_by_distance
    }
    grade_tables.write_grades(run.file("challenge/grades.csv"), grades)
    key_fault.write_study(run.file("challenge/key_fault.csv"), study)
    title = run.title("the challenge")
    page = grade_tables.format_page(grades, study, title=title, notes=differences)
    write_text(run.file("challenge/grades.md"), page)
    draw_hit_rates_among_distractors(
        curves,
        styles([*experiments]),
        run.file("challenge/growth.png"),
        title=title,
        level=run.intervals.confidence,
    )


def submit(run: Any, name: str, ranking: Ranking, queries: Manifest, gallery: Manifest) -> None:
    """Write one experiment's answers as the server wants them, and look for faults."""
    from gallerist.challenge import answer_file as answers
    from gallerist.challenge.lint import lint

    k, group = (run.config["challenge"][key] for key in ("k", "group"))
    folders = [Path(run.plan.challenge_folder, part) for part in ("gallery", "query")]
    named = answers.name_answers(ranking, queries, gallery, k)
    named = answers.with_copies(named, folders[1], queries)
    file = run.file(f"challenge/submissions/{name}/results.json")
    answers.write_answers(file, group, named)
    answers.write_answer_table(run.file(f"challenge/submissions/{name}/results.csv"), named)
    lint(file, *map(answers.picture_names, folders), k)
