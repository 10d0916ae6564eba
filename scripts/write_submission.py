"""Rule write_submission: a challenge's ranking -> results.json, and what a server would refuse."""

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
    queries = Manifest.read(given.query)
    ranking = Ranking.read(given.ranking)
    answers = name_answers(ranking, queries, Manifest.read(given.gallery), params.k)
    # The import knows equal files once; the server wants every file's answers.
    answers = with_copies(answers, query, queries)
    write_answers(output.submission, params.group, answers)
    write_answer_table(output.answers, answers)
    found = lint(output.submission, picture_names(gallery), picture_names(query), params.k)
    for problem in found:
        logging.getLogger("gallerist").warning("%s: %s", output.submission, problem.message)
    run.metrics(queries=len(answers), submission_faults=len(found))
    run.artifact(output.submission)
    run.artifact(output.answers)
