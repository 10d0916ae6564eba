# Stage 13: an unlabelled challenge, ranked by every experiment, written for its server, graded.
#
# Its pictures take the same way as the data set's: import, description, search, re-ranking.


rule draw_challenge:
    """Draw the embedded challenge: silhouettes, their outlines, and digits to confuse them with."""
    input:
        code=library("draw_challenge"),
    output:
        folder=directory(results("challenge/source")),
        truth=results("challenge/truth.json"),
        record=results("challenge/source.record.json"),
    log:
        logs("draw_challenge.log"),
    benchmark:
        benchmarks("draw_challenge.tsv")
    conda:
        "../envs/gallerist.yaml"
    params:
        settings=canonical_json(CHALLENGE["embedded"] if CHALLENGE else None),
    script:
        "../scripts/draw_challenge.py"


use rule search_gallery as search_challenge with:
    input:
        gallery=searched("challenge_gallery"),
        query=searched("challenge_query"),
        code=library("search_gallery"),
    output:
        ranking=results("challenge/rankings/{experiment}.csv"),
        record=results("challenge/rankings/{experiment}.record.json"),
    log:
        logs("search_challenge/{experiment}.log"),
    benchmark:
        benchmarks("search_challenge/{experiment}.tsv")


use rule rerank_reciprocally as rerank_challenge with:
    input:
        gallery=searched("challenge_gallery"),
        query=searched("challenge_query"),
        code=library("rerank_reciprocally"),
    output:
        ranking=results("challenge/rankings/{experiment}.reciprocal.csv"),
        record=results("challenge/rankings/{experiment}.reciprocal.record.json"),
    log:
        logs("rerank_challenge/{experiment}.log"),
    benchmark:
        benchmarks("rerank_challenge/{experiment}.tsv")


use rule verify_geometry as verify_challenge with:
    input:
        ranking=lambda wildcards: results(
            f"challenge/{name_before_verification(wildcards.experiment)}.csv"
        ),
        gallery=results("manifests/challenge_gallery.csv"),
        query=results("manifests/challenge_query.csv"),
        code=library("verify_geometry"),
    output:
        ranking=results("challenge/rankings/{experiment}.verified.csv"),
        matches=results("challenge/rankings/{experiment}.matches.png"),
        record=results("challenge/rankings/{experiment}.verified.record.json"),
    log:
        logs("verify_challenge/{experiment}.log"),
    benchmark:
        benchmarks("verify_challenge/{experiment}.tsv")


use rule fuse_rankings as fuse_challenge_rankings with:
    input:
        rankings=lambda wildcards: [
            challenge_ranking(name) for name in members(wildcards.experiment)
        ],
        code=library("fuse_rankings"),
    output:
        ranking=results("challenge/rankings/{experiment}.csv"),
        record=results("challenge/rankings/{experiment}.record.json"),
    log:
        logs("fuse_challenge_rankings/{experiment}.log"),
    benchmark:
        benchmarks("fuse_challenge_rankings/{experiment}.tsv")


rule write_submission:
    """Write one experiment's answers as the server wants them, and look for faults."""
    input:
        ranking=lambda wildcards: challenge_ranking(wildcards.experiment),
        gallery=results("manifests/challenge_gallery.csv"),
        query=results("manifests/challenge_query.csv"),
        code=library("write_submission"),
    output:
        submission=results("challenge/submissions/{experiment}/results.json"),
        answers=results("challenge/submissions/{experiment}/results.csv"),
        record=results("challenge/submissions/{experiment}/results.record.json"),
    log:
        logs("write_submission/{experiment}.log"),
    benchmark:
        benchmarks("write_submission/{experiment}.tsv")
    conda:
        "../envs/gallerist.yaml"
    params:
        folder=challenge_folder() if CHALLENGE else "",
        group=CHALLENGE["group"] if CHALLENGE else "",
        k=CHALLENGE["k"] if CHALLENGE else 0,
    script:
        "../scripts/write_submission.py"


rule grade_challenge:
    """Grade all experiments by the ground truth, rightly and with the published key fault."""
    input:
        rankings=[challenge_ranking(name) for name in EXPERIMENTS],
        truth=challenge_truth(),
        gallery=results("manifests/challenge_gallery.csv"),
        query=results("manifests/challenge_query.csv"),
        code=library("grade_challenge"),
    output:
        grades=results("challenge/grades.csv"),
        study=results("challenge/key_fault.csv"),
        page=results("challenge/grades.md"),
        growth=report(
            results("challenge/growth.png"),
            caption="../report/challenge_growth.rst",
            category="Challenge",
            labels={"figure": "hit rate against confusion images"},
        ),
        record=results("challenge/grades.record.json"),
    log:
        logs("grade_challenge.log"),
    benchmark:
        benchmarks("grade_challenge.tsv")
    conda:
        "../envs/gallerist.yaml"
    params:
        experiments=canonical_json(list(EXPERIMENTS)),
        by_distance=canonical_json([name for name in EXPERIMENTS if ranked_by_distance(name)]),
        seed=config["evaluation"]["seed"],
        bootstrap_rounds=config["evaluation"]["bootstrap_rounds"],
        confidence=config["evaluation"]["confidence"],
        distractor_step=CHALLENGE["distractor_step"] if CHALLENGE else 0,
    script:
        "../scripts/grade_challenge.py"
