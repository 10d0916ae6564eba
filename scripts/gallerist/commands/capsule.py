"""The command `gallerist capsule`."""

import shlex
from typing import Any

import click

from gallerist.commands import options


@options.command()
@click.option("--output", metavar="FILE", help="[default: results/DATASET/capsule.zip]")
@options.with_configuration
def capsule(config: dict[str, Any], output: str | None) -> None:
    """Write the comparison and all it follows from as one file.

    Anybody can recompute every figure of it, without the pictures: by `gallerist verify FILE`, or
    by `python FILE` with nothing installed but numpy and scipy.
    """
    from gallerist.capsule.packing import pack
    from gallerist.io.errors import UserError
    from gallerist.workflow.results import Results

    if "truth" in config["dataset"]:
        raise UserError(
            "a capsule holds a truth of classes, and dataset.truth states another: results/"
            f"{config['dataset']['name']}/truth.csv has it, for gallerist evaluate"
        )
    results = Results.of(config, options.RESULTS)
    file = output or results.file("capsule.zip")
    digest = pack(results, file)
    print(f"{file}\nsha256:{digest}\nTo verify it: gallerist verify {shlex.quote(file)}")
