"""Rule fetch_archive: a URL or path with a checksum -> the unpacked tree of image files."""

from pathlib import Path

from gallerist.data.archive import unpack
from gallerist.data.download import fetch
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    params = snakemake.params
    name = Path(params.location).name
    archive = fetch(params.location, Path(params.download) / name, sha256=params.sha256)
    files = unpack(
        archive, snakemake.output.folder, max_bytes=int(params.max_gigabytes * 1_000_000_000)
    )
    run.metrics(files=files, archive_bytes=archive.stat().st_size)
