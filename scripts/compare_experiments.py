"""Rule compare_experiments: all experiments' accuracies and costs -> one table, one picture."""

import json

from gallerist import comparison
from gallerist.files import read_json, replacing, write_text
from gallerist.plots import draw_comparison
from gallerist.records import read_record
from gallerist.remarks import remarks
from gallerist.stage import stage

with stage(snakemake) as run:
    metrics = [read_json(path) for path in snakemake.input.metrics]
    rates = [{int(k): rate for k, rate in each["hit_rate"].items()} for each in metrics]
    records = [read_record(path) for path in snakemake.input.rows]
    rows = [comparison.table_row(record, rate) for record, rate in zip(records, rates, strict=True)]
    title = f"{snakemake.config['dataset']['name']}: comparison of experiments"
    notes = remarks(rows, metrics, faults=snakemake.input.faults, leaks=snakemake.input.leaks)
    seeds = comparison.over_seeds(rows, json.loads(snakemake.params.groups))
    output = snakemake.output
    with replacing(output.table) as temporary:
        comparison.table(rows).to_csv(temporary, index=False)
    with replacing(output.seeds) as temporary:
        comparison.seed_table(seeds, rows[0].hit_rates).to_csv(temporary, index=False)
    write_text(output.page, comparison.markdown(rows, title=title, notes=notes, seeds=seeds))
    write_text(output.sheet, comparison.page(rows, title=title, notes=notes, seeds=seeds))
    curves = {row.experiment: row.hit_rates for row in rows}
    draw_comparison(curves, output.plot, title=title, queries=rows[0].queries)
    for row in rows:
        run.metrics({f"{row.experiment}/top-{k}": rate for k, rate in row.hit_rates.items()})
    for row in seeds:
        for k, rate in row.hit_rates.items():
            run.metrics({f"{row.settings} over seeds/top-{k} mean": rate.mean})
            run.metrics({f"{row.settings} over seeds/top-{k} sd": rate.deviation})
    for path in (output.table, output.seeds, output.page, output.plot):
        run.artifact(path)
