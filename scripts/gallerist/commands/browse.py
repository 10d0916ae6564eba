"""The command `gallerist browse`."""

from pathlib import Path
from typing import Any

import click

from gallerist.commands import options

PORT = 5002


@options.beside_snakemake()
@options.configfile_option
@click.option("--port", default=PORT, help="To listen on; 0 takes a free one.")
@click.option(
    "--host",
    default="127.0.0.1",
    help="Address to listen on. Any other than this machine's own needs the token that is printed.",
)
@click.option(
    "--export",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the page as a folder that opens without a server, and end.",
)
def browse(configfiles: tuple[str, ...], port: int, host: str, export: Path | None) -> None:
    """Look at the results in a browser: compare experiments, see queries, search a picture."""
    root, first = Path(options.RESULTS), _data_set(configfiles)
    if export is not None:
        from gallerist.browse.export import export_page

        print(export_page(root, export, first=first))
        return
    from gallerist.browse.server import serve

    serve(root, host=host, port=port, first=first)


def _data_set(files: tuple[str, ...]) -> str | None:
    """The data set that the configuration names: the page has others, too, and needs no more."""
    import yaml

    name: Any = None
    for file in files or [options.DEFAULT_CONFIG]:
        path = Path(file)
        read = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
        section = read.get("dataset") if isinstance(read, dict) else None
        name = section.get("name", name) if isinstance(section, dict) else name
    return name if isinstance(name, str) else None
