"""Rule report_leaks: the manifests of all parts -> the pictures that are in two of them."""

from gallerist.data.manifest import Manifest
from gallerist.data.near_duplicates import find_leaks, summarise_leaks, write_leaks
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    manifests = {part: Manifest.read(path) for part, path in snakemake.input.items()}
    leaks = find_leaks(manifests, snakemake.params.distance)
    write_leaks(snakemake.output.leaks, leaks)
    run.metrics(**summarise_leaks(leaks, [*manifests]))
    run.artifact(snakemake.output.leaks)
