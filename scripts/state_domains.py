"""Rule state_domains: a table of pictures -> the domain of every query."""

from gallerist.data.domains import domains_of, named_domains, write_domains
from gallerist.data.manifest import Manifest
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    params = snakemake.params
    named = named_domains(params.table, params.folder, params.part)
    domains = domains_of(Manifest.read(snakemake.input.query), named)
    write_domains(snakemake.output.domains, domains)
    run.metrics(queries=len(domains), domains=len({*domains.values()}))
    run.artifact(snakemake.output.domains)
