"""Rule fetch_archive: a URL or path with a checksum -> the unpacked tree of image files."""

from pathlib import Path

from gallerist.data.archive import unpack
from gallerist.data.download import fetch
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    params = snakemake.params
    location = snakemake.config["dataset"]["archive"]["location"]
    limit = int(params.max_gigabytes * 1_000_000_000)
    # Not the address's name, which can be a token: see shown_url.
    target = Path(params.download) / params.sha256[:16]
    archive = fetch(location, target, sha256=params.sha256, max_bytes=limit)
    files = unpack(archive, snakemake.output.folder, max_bytes=limit)
    run.metrics(files=files, archive_bytes=archive.stat().st_size)
