"""Rule grade_challenge: all rankings and the truth -> grades, and what the key fault does."""

import logging

from gallerist.challenge import grading, key_fault, tables
from gallerist.challenge.answer_file import file_names, name_answers
from gallerist.challenge.risk_coverage import write_risks
from gallerist.challenge.truth import Truth, match
from gallerist.data.manifest import Manifest
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.curves import CurveError
from gallerist.figures.comparison import draw_hit_rates_among_distractors
from gallerist.figures.risk_coverage import draw_risks
from gallerist.figures.style import styles
from gallerist.io.files import write_text
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

logger = logging.getLogger("gallerist")

with stage(snakemake) as run:
    given, output, params = snakemake.input, snakemake.output, snakemake.params
    experiments, by_distance = run.param("experiments"), run.param("by_distance")
    settings = IntervalSettings(params.seed, params.bootstrap_rounds, params.confidence)
    queries, gallery = Manifest.read(given.query), Manifest.read(given.gallery)
    names = file_names(queries, "query").values(), file_names(gallery, "gallery").values()
    truth, differences = match(Truth.read(given.truth), *names)
    for difference in differences:
        logger.warning("%s", difference)
    rankings = dict(zip(experiments, map(Ranking.read, given.rankings), strict=True))
    answers = {name: name_answers(each, queries, gallery) for name, each in rankings.items()}
    grades = {name: grading.grade(each, truth, settings) for name, each in answers.items()}
    study = key_fault.study(answers, grades, truth, settings)
    curves = {}
    for name in by_distance:
        try:
            curves[name] = grading.hit_rate_among_distractors(
                answers[name], truth, settings, step=params.distractor_step
            )
        except CurveError as error:
            logger.warning("the curve of %s among distractors is left out: %s", name, error)

    tables.write_grades(output.grades, grades)
    key_fault.write_study(output.study, study)
    title = f"{run.title}: the challenge"
    write_text(output.page, tables.format_page(grades, study, title=title, notes=differences))
    draw_hit_rates_among_distractors(
        curves, styles(experiments), output.distractor_curve, title=title, level=params.confidence
    )
    made = [output.grades, output.study, output.page, output.distractor_curve]
    if "absent" in params.keys():  # noqa: SIM118 - Snakemake's, which is no mapping
        asked = rankings, queries, gallery, truth
        risks = write_risks(output.risk_coverage, *asked, params.absent, by_distance)
        draw_risks(risks, styles(experiments), output.risk, title=title)
        made += [output.risk_coverage, output.risk]
    for name, grade in grades.items():
        for metric, estimate in grade[grading.ALL].estimates.items():
            run.metrics({f"{name}/{metric.replace('@', '-')}": estimate.mean})
    for path in made:
        run.artifact(path)
