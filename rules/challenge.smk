# Stage 13, only where there is a challenge: rankings of its pictures, written for its server, graded.
#
# They take the same way as the data set's: import, extraction, search, re-ranking.


rule write_submissions:
    """Write every experiment's answers as the server wants them, and look for faults."""
    input:
        rankings=[PLAN.challenge_ranking(name) for name in EXPERIMENTS],
        gallery=results("manifests/challenge_gallery.csv"),
        query=results("manifests/challenge_query.csv"),
        imports=PLAN.challenge_imports,
    output:
        submissions=expand(
            results("challenge/submissions/{experiment}/results.json"), experiment=EXPERIMENTS
        ),
        answers=expand(
            results("challenge/submissions/{experiment}/results.csv"), experiment=EXPERIMENTS
        ),
        record=results("challenge/submissions/results.record.json"),
    log:
        logs("write_submissions.log"),
    benchmark:
        benchmarks("write_submissions.tsv")
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("write_submissions"),
    params:
        code=code_of("write_submissions"),
        experiments=canonical_json(EXPERIMENTS),
        folder=as_is(PLAN.challenge_folder),
        group=as_is(CHALLENGE.group),
        k=CHALLENGE.k,
    script:
        "../scripts/write_submissions.py"


CHALLENGE_RISK = {
    "risk_coverage": results("challenge/risk_coverage.csv"),
    "risk": reported(
        "challenge/risk_coverage.png",
        "challenge_risk_coverage",
        figure="risk against coverage",
    ),
}


rule grade_challenge:
    """Grade all experiments by the ground truth, rightly and with the published key fault."""
    input:
        rankings=[PLAN.challenge_ranking(name) for name in EXPERIMENTS],
        truth=PLAN.challenge_truth,
        gallery=results("manifests/challenge_gallery.csv"),
        query=results("manifests/challenge_query.csv"),
        imports=PLAN.challenge_imports,
    output:
        **(CHALLENGE_RISK if ABSTAINING else {}),
        grades=results("challenge/grades.csv"),
        study=results("challenge/key_fault.csv"),
        page=results("challenge/grades.md"),
        distractor_curve=reported(
            "challenge/growth.png",
            "challenge_distractor_curve",
            figure="hit rate against confusion images",
        ),
        record=results("challenge/grades.record.json"),
    log:
        logs("grade_challenge.log"),
    benchmark:
        benchmarks("grade_challenge.tsv")
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("grade_challenge"),
    params:
        **({"absent": CONFIG.evaluation.abstaining.absent} if ABSTAINING else {}),
        code=code_of(
            "grade_challenge",
            drawing=["challenge.risk_coverage", "figures.risk_coverage"] if ABSTAINING else [],
        ),
        experiments=canonical_json(EXPERIMENTS),
        by_distance=canonical_json(
            [name for name, each in PLAN.experiments.items() if each.ranked_by_distance]
        ),
        seed=CONFIG.evaluation.seed,
        bootstrap_rounds=CONFIG.evaluation.bootstrap_rounds,
        confidence=CONFIG.evaluation.confidence,
        distractor_step=CHALLENGE.distractor_step,
    script:
        "../scripts/grade_challenge.py"
