"""The command `gallerist submit`."""

from collections.abc import Sequence
from typing import Any

import click

from gallerist.commands import options


@options.command()
@click.argument("results", required=False)
@click.argument("url", required=False)
@options.experiment_option("Whose answers to send; the configuration says where to.")
@options.configfile_option
@click.option("--gallery", metavar="FOLDER", help="Of the gallery's pictures, with RESULTS.")
@click.option("--query", metavar="FOLDER", help="Of the query pictures, with RESULTS.")
@click.option("--k", type=int, help="Answers a query in RESULTS.  [default: 10]")
@click.option("--receipts", metavar="FOLDER", help="[default: receipts, beside the answer file]")
@click.option("--timeout", default=30.0, help="Seconds.")
@click.option("--attempts", default=5, help="How often to try.")
@click.option("--dry-run", is_flag=True, help="Check everything, send nothing.")
@click.option("--again", is_flag=True, help="Send what was, or may be, answered already.")
def submit(experiment: str | None, configfiles: Sequence[str], k: int | None, **given: Any) -> None:
    """Send answers to a challenge's server, once.

    Those of an experiment; or any file RESULTS in the form of results.json, to the server at URL.
    """
    from gallerist.challenge.submit import configured, send

    file = {name: given.pop(name) for name in ("results", "url", "gallery", "query")}
    if (experiment and (any(file.values()) or k is not None)) or (configfiles and not experiment):
        raise ValueError("name either an --experiment of the configuration, or RESULTS and URL")
    if experiment:
        delivery = configured(options.read_configuration(configfiles), experiment)
    elif all(file.values()):
        delivery = file | {"k": 10 if k is None else k}
    else:
        raise ValueError("name an --experiment; or RESULTS and URL, with --gallery and --query")
    receipt = send(**delivery, **given)
    print(receipt.message)
    if receipt.body:
        print(receipt.body)
