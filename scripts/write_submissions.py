"""Rule write_submissions: rankings -> results.json each, and what a server would refuse."""

import logging
from pathlib import Path

from gallerist.challenge.answer_file import (
    name_answers,
    picture_names,
    with_copies,
    write_answer_table,
    write_answers,
)
from gallerist.challenge.lint import lint
from gallerist.data.manifest import Manifest
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, params, output = snakemake.input, snakemake.params, snakemake.output
    gallery, query = (Path(params.folder, part) for part in ("gallery", "query"))
    pictures, queries = Manifest.read(given.gallery), Manifest.read(given.query)
    known = picture_names(gallery), picture_names(query)
    files = zip(given.rankings, output.submissions, output.answers, strict=True)
    for name, (ranking, submission, table) in zip(run.param("experiments"), files, strict=True):
        answers = name_answers(Ranking.read(ranking), queries, pictures, params.k)
        # The import knows equal files once; the server wants every file's answers.
        answers = with_copies(answers, query, queries)
        write_answers(submission, params.group, answers)
        write_answer_table(table, answers)
        found = lint(submission, *known, params.k)
        for problem in found:
            logging.getLogger("gallerist").warning("%s: %s", submission, problem.message)
        run.metrics({f"{name}/queries": len(answers), f"{name}/submission_faults": len(found)})
        run.artifact(submission, name)
        run.artifact(table, name)
