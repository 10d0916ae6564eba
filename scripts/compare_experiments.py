"""Rule compare_experiments: all experiments' accuracies and costs -> tables and pictures."""

from gallerist.evaluation import comparison
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.comparison_page import find_caveats, format_html, format_markdown
from gallerist.evaluation.curves import AMONG_DISTRACTORS, HIT_RATE, PRECISION, read_curves
from gallerist.evaluation.significance import better_than, find_differences, write_differences
from gallerist.evaluation.tables import read_queries
from gallerist.figures import comparison as figures
from gallerist.figures.style import styles
from gallerist.io.files import read_json, write_text
from gallerist.records.record import read_record
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, output, params = snakemake.input, snakemake.output, snakemake.params
    settings = IntervalSettings(params.seed, params.bootstrap_rounds, params.confidence)
    metrics = [read_json(path) for path in given.metrics]
    experiments = [each["experiment"] for each in metrics]
    scores = [read_queries(path) for path in given.queries]
    found = find_differences(dict(zip(experiments, scores, strict=True)), settings)
    records = [read_record(path) for path in given.rows]
    surpassed = better_than(found, params.decided_by)
    rows = comparison.table_rows(records, metrics, params.decided_by, surpassed)
    seeds = comparison.summarise_seeds(rows, run.param("groups"))
    title = f"{run.title}: comparison of experiments"
    caveats = find_caveats(rows, metrics, faults=given.faults, leaks=given.leaks)
    comparison.write_table(output.table, rows)
    comparison.write_table(output.metrics, comparison.metric_table(metrics))
    rates = {row["experiment"]: comparison.hit_rates(row) for row in rows}
    comparison.write_seeds(output.seeds, seeds, rates[experiments[0]])
    write_differences(output.differences, found)
    write_text(output.page, format_markdown(rows, title=title, caveats=caveats, seeds=seeds))
    write_text(output.html, format_html(rows, title=title, caveats=caveats, seeds=seeds))

    figures.draw_comparison(
        rates,
        output.plot,
        title=title,
        queries=rows[0]["queries"],
        intervals=comparison.intervals(metrics),
        level=params.confidence,
        configured=experiments,
    )
    curves = {name: read_curves(path) for name, path in zip(experiments, given.curves, strict=True)}
    for kind, draw, path in (
        (HIT_RATE, figures.draw_hit_rates, output.hit_rates),
        (PRECISION, figures.draw_precision_recall, output.precision),
        (AMONG_DISTRACTORS, figures.draw_hit_rates_among_distractors, output.distractor_curve),
    ):
        known = {name: each[kind] for name, each in curves.items() if kind in each}
        draw(known, styles(experiments), path, title=title, level=params.confidence)

    run.metrics(comparison.named_hit_rates(rows, seeds))
    for name, path in output.items():
        if name not in ("record", "html"):
            run.artifact(path)
