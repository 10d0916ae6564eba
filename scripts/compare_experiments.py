"""Rule compare_experiments: all experiments' accuracies and costs -> tables and pictures."""

from gallerist.evaluation import comparison
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.compared import Evaluated, compare
from gallerist.evaluation.comparison_page import find_caveats, format_html, format_markdown
from gallerist.evaluation.curves import HIT_RATE, read_curves
from gallerist.evaluation.summary import mean_row
from gallerist.evaluation.tables import read_queries
from gallerist.figures import comparison as figures
from gallerist.figures.doubtful_labels import report_doubts
from gallerist.io.files import read_json, write_text
from gallerist.records.record import read_record
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, output, params = snakemake.input, snakemake.output, snakemake.params
    settings = IntervalSettings(params.seed, params.bootstrap_rounds, params.confidence)
    files = zip(map(read_json, given.metrics), given.queries, given.rows, strict=True)
    found = {
        metrics["experiment"]: Evaluated(read_queries(queries), metrics, read_record(row))
        for metrics, queries, row in files
    }
    result = compare(found, run.param("groups"), params.decided_by, settings)
    title = f"{run.title}: comparison of experiments"
    run.metrics(report_doubts(given, output, title=run.title, **run.param("doubting")))
    reports = {"faults": given.faults, "leaks": given.leaks, "doubts": output.doubts}
    caveats = find_caveats(result.rows, result.metrics, **reports)
    if result.wrong_labels:
        caveats.append(result.wrong_labels.sentence(params.decided_by))
        run.tag(**result.wrong_labels._asdict())
    result.write(**{name: output[name] for name in ("table", "metrics", "differences", "seeds")})
    shown = {"title": title, "caveats": caveats, "seeds": result.seeds}
    write_text(output.page, format_markdown(result.rows, **shown))
    write_text(output.html, format_html(result.rows, **shown))

    names = [line.name for line in result.lines]
    figures.draw_comparison(
        {row["experiment"]: comparison.hit_rates(row) for row in result.rows},
        output.plot,
        title=title,
        queries=result.rows[0]["queries"],
        intervals=comparison.intervals(result.metrics),
        level=params.confidence,
        configured=names,
    )
    of_each = dict(zip(found, map(read_curves, given.curves), strict=True))
    curves = {line.name: line.curves(of_each, params.confidence) for line in result.lines}
    figures.draw_curves(curves, output, title=title, level=params.confidence)

    run.metrics(comparison.named_hit_rates(result.rows, result.seeds))
    means = [line for line in result.lines if line.of_seeds]
    for path, line in zip(output.means, means, strict=True):  # both as configured
        row = mean_row(line, run.title, params.decided_by, curves[line.name][HIT_RATE])
        run.compare(path, line.name, **row)
    for name, path in output.items():
        if name not in ("record", "html", "means"):
            run.artifact(path)
