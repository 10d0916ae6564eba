"""Rule compare_experiments: all experiments' accuracies and costs -> tables and pictures."""

from gallerist.evaluation import comparison
from gallerist.evaluation.differences import better_than, differences, write_differences
from gallerist.evaluation.evaluation_curves import GROWTH, HIT_RATE, PRECISION, read_curves
from gallerist.evaluation.remarks import remarks
from gallerist.evaluation.scores import Settings, read_queries
from gallerist.figures import curve_plots
from gallerist.figures.plots import draw_comparison
from gallerist.figures.style import styles
from gallerist.io.files import read_json, replacing, write_text
from gallerist.records.record import read_record
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, output, params = snakemake.input, snakemake.output, snakemake.params
    settings = Settings(params.seed, params.bootstrap_rounds, params.confidence)
    metrics = [read_json(path) for path in given.metrics]
    experiments = [each["experiment"] for each in metrics]
    found = differences(
        {name: read_queries(path) for name, path in zip(experiments, given.queries, strict=True)},
        settings,
    )
    # A metric that one ranking is not deep enough for has an empty cell.
    names = dict.fromkeys(name for each in metrics for name in each["metrics"])
    surpassed = better_than(found, params.decided_by)
    rows = [
        comparison.table_row(
            read_record(path),
            {name: each["metrics"].get(name, comparison.UNKNOWN) for name in names},
            params.decided_by,
            surpassed.get(each["experiment"], ()),
        )
        for path, each in zip(given.rows, metrics, strict=True)
    ]
    title = f"{run.title}: comparison of experiments"
    notes = remarks(rows, metrics, faults=given.faults, leaks=given.leaks)
    seeds = comparison.over_seeds(rows, run.param("groups"))
    with replacing(output.table) as temporary:
        comparison.table(rows).to_csv(temporary, index=False)
    with replacing(output.metrics) as temporary:
        comparison.metric_table(metrics).to_csv(temporary, index=False)
    with replacing(output.seeds) as temporary:
        comparison.seed_table(seeds, rows[0].hit_rates).to_csv(temporary, index=False)
    write_differences(output.differences, found)
    write_text(output.page, comparison.markdown(rows, title=title, notes=notes, seeds=seeds))
    write_text(output.html, comparison.page(rows, title=title, notes=notes, seeds=seeds))

    draw_comparison(
        {row.experiment: row.hit_rates for row in rows},
        output.plot,
        title=title,
        queries=rows[0].queries,
        intervals=comparison.intervals(metrics),
        level=params.confidence,
        configured=experiments,
    )
    curves = {name: read_curves(path) for name, path in zip(experiments, given.curves, strict=True)}
    for kind, draw, path in (
        (HIT_RATE, curve_plots.draw_hit_rates, output.hit_rates),
        (PRECISION, curve_plots.draw_precision_recall, output.precision),
        (GROWTH, curve_plots.draw_growth, output.distractor_curve),
    ):
        known = {name: each[kind] for name, each in curves.items() if kind in each}
        draw(known, styles(experiments), path, title=title, level=params.confidence)

    for row in rows:
        run.metrics({f"{row.experiment}/top-{k}": rate for k, rate in row.hit_rates.items()})
    for row in seeds:
        for k, rate in row.hit_rates.items():
            run.metrics({f"{row.settings} over seeds/top-{k} mean": rate.mean})
            run.metrics({f"{row.settings} over seeds/top-{k} sd": rate.deviation})
    for name, path in output.items():
        if name not in ("record", "html"):
            run.artifact(path)
