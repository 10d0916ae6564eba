"""The command `gallerist summary`."""

import shlex
from typing import Any

import click

from gallerist.commands import options


@options.beside_snakemake()
@options.with_configuration
def summary(config: dict[str, Any]) -> None:
    """Print the table of accuracies and where everything is."""
    from gallerist.commands.ui import how_to_open
    from gallerist.tracking.store import configured_store
    from gallerist.tracking.sync import refresh_configured
    from gallerist.workflow.results import Results

    results = Results.of(config, options.RESULTS)
    table = results.path("comparison/comparison.md")
    # The workflow does so too when it starts, but not when it finds nothing to do.
    refresh_configured(config, options.RESULTS)
    print(table.read_text(encoding="utf-8"))
    files = click.get_current_context().params["configfiles"]
    configured = f" --configfile {shlex.join(files)}" if files else ""
    print(f"look at it   make browse   (.venv/bin/gallerist browse{configured})")
    print("hand it in   make report   writes results/report/index.html")
    print(f"comparison   {results.path('comparison/comparison.png')}")
    for experiment in config["experiments"]:
        print(f"pictures     {results.path(f'evaluation/{experiment}')}/")
    print(f"MLflow UI    {how_to_open(configured_store(config, options.RESULTS).uri)}")
    some = next(iter(config["experiments"]))
    print(f"one query    .venv/bin/gallerist search{configured} --experiment {some} --query 1")
