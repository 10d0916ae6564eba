"""The command `gallerist register`."""

from typing import Any

import click

from gallerist.commands import options


@options.command()
@options.with_configuration
@click.argument("experiments", nargs=-1, shell_complete=options.complete_experiment)
@click.option("--as-champion", is_flag=True, help="Of one experiment: without a test.")
def register(config: dict[str, Any], experiments: tuple[str, ...], as_champion: bool) -> None:
    """Register experiments as models that MLflow can serve; by default the best.

    --as-champion is for after a change of the data, when the two cannot be compared by a test.
    """
    if as_champion and len(experiments) > 1:
        raise ValueError("--as-champion is for one experiment: there is one champion")
    from gallerist.commands.serve import how_to_serve
    from gallerist.serving import registry
    from gallerist.tracking.sync import refresh_configured

    refresh_configured(config, options.RESULTS)
    for each in registry.register(config, experiments or [registry.BEST], as_champion=as_champion):
        state = "registered" if each.new else "registered already"
        print(f"{each.experiment}: {state}, {each.name} version {each.version}")
        print(each.reason)
    files = click.get_current_context().params["configfiles"]
    print(f"serve it     {how_to_serve(config['dataset']['name'], files)}")
