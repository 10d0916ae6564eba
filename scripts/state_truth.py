"""Rule state_truth: what the configuration says is right -> pairs of a query and a picture."""

from gallerist.data.manifest import Manifest
from gallerist.evaluation.stated_truth import Names, state_truth, write_truth
from gallerist.settings.truth import Truth
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, params = snakemake.input, snakemake.params
    query, gallery = (Manifest.read(given[part]) for part in ("query", "gallery"))
    parts = [(part, Names(part, params.folder, given.faults)) for part in (query, gallery)]
    pairs = state_truth(run.settings_as(Truth), *parts, params.table or None, params.folder)
    write_truth(snakemake.output.truth, pairs)
    right = [query for query, _, relevance in pairs if relevance > 0]
    run.metrics(
        pairs=len(pairs),
        pairs_right=len(right),
        queries_answerable=len({*right}),
        queries=len(query),
    )
    run.artifact(snakemake.output.truth)
