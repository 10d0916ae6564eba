"""Rule grade_challenge: all rankings and the truth -> grades, and what the key fault does."""

import logging

from gallerist.challenge import grading as challenge_grading
from gallerist.challenge import tables as challenge_tables
from gallerist.challenge.truth import Truth, match
from gallerist.data.manifest import Manifest
from gallerist.evaluation.curves import CurveFault
from gallerist.figures import curve_plots
from gallerist.figures.style import styles
from gallerist.io.files import write_text
from gallerist.search.ranking import Ranking
from gallerist.workflow.stage import stage

logger = logging.getLogger("gallerist")

with stage(snakemake) as run:
    given, output, params = snakemake.input, snakemake.output, snakemake.params
    experiments, by_distance = run.param("experiments"), run.param("by_distance")
    rounds, confidence = params.bootstrap_rounds, params.confidence
    drawn = {"seed": params.seed, "rounds": rounds, "confidence": confidence}
    queries, gallery = Manifest.read(given.query), Manifest.read(given.gallery)
    names = [challenge_tables.file_names(each) for each in (queries, gallery)]
    matched = match(Truth.read(given.truth), names[0].values(), names[1].values())
    for remark in matched.remarks():
        logger.warning("%s", remark)
    answers = {
        experiment: challenge_tables.by_name(Ranking.read(path), *names)
        for experiment, path in zip(experiments, given.rankings, strict=True)
    }
    grades = {
        name: challenge_grading.grade(each, matched.truth, **drawn)
        for name, each in answers.items()
    }
    study = challenge_grading.study(answers, matched.truth, **drawn)
    curves = {}
    for name in by_distance:
        try:
            curves[name] = challenge_grading.growth(
                answers[name], matched.truth, step=params.distractor_step, **drawn
            )
        except CurveFault as error:
            logger.warning("the growth of %s is left out: %s", name, error)

    challenge_tables.write_grades(output.grades, grades)
    challenge_grading.write_study(output.study, study)
    title = f"{run.title}: the challenge"
    write_text(
        output.page, challenge_tables.page(grades, study, title=title, notes=matched.remarks())
    )
    looks = styles(experiments)
    curve_plots.draw_growth(curves, looks, output.distractor_curve, title=title, level=confidence)
    for name, grade in grades.items():
        for metric, measure in grade.overall.items():
            run.metrics({f"{name}/{metric.replace('@', '-')}": measure.mean})
    for path in (output.grades, output.study, output.page, output.distractor_curve):
        run.artifact(path)
