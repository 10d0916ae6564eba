"""The command `gallerist collect`."""

from typing import Any

import click

from gallerist.commands import options


@options.command()
@click.option("--yes", is_flag=True, help="Remove it; else it is only counted.")
@options.with_configuration
def collect(config: dict[str, Any], yes: bool) -> None:
    """Remove what is kept of pictures, and no experiment uses any more.

    That is what settings, code and pictures of before had made of pictures. Not while a workflow
    runs. To remove more costs time and nothing else: all below `store/` is computed again.
    """
    from gallerist.config.completion import check
    from gallerist.io.row_file import format_size
    from gallerist.workflow.stores import unused_files

    files = unused_files(check(config), options.RESULTS)
    size = format_size(sum(path.stat().st_size for path in files))
    if yes:
        for path in files:
            path.unlink(missing_ok=True)
    todo = "" if yes or not files else ". Remove them by: gallerist collect --yes"
    print(f"{'removed ' if yes else ''}{len(files)} unused files of {size}{todo}")
