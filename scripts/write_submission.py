"""Rule write_submission: a challenge's ranking -> results.json, and what a server would refuse."""

import logging
from pathlib import Path

from gallerist.challenge.answer_file import Submission, picture_names, with_copies
from gallerist.challenge.lint import faults
from gallerist.data.manifest import Manifest
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    params, output = snakemake.params, snakemake.output
    folders = {part: Path(params.folder) / part for part in ("gallery", "query")}
    queries = Manifest.read(snakemake.input.query)
    submission = Submission.from_ranking(
        Ranking.read(snakemake.input.ranking),
        queries,
        Manifest.read(snakemake.input.gallery),
        params.group,
        params.k,
    )
    # The import knows equal files once; the server wants every file's answers.
    whole = with_copies(submission, folders["query"], queries)
    whole.write(output.submission)
    whole.write_csv(output.answers)
    names = [picture_names(folders[part]) for part in ("gallery", "query")]
    found = faults(output.submission, *names, params.k)
    for fault in found:
        logging.getLogger("gallerist").warning("%s: %s", output.submission, fault.message)
    run.metrics(queries=len(whole.answers), submission_faults=len(found))
    run.artifact(output.submission)
    run.artifact(output.answers)
