# Stage 12: all experiments side by side, and the labels that their vectors contradict.

VECTORS_SEARCHED = [
    file
    for name in sorted(WITH_VECTORS)
    for part in (PLAN.query_part, "gallery")
    for file in PLAN.searched_features(name, part)
]
DOUBTING = {
    # In the order of the vectors, which is not that of the configuration's keys.
    "metrics": [
        (name, PLAN.experiments[name].plain["search"]["metric"]) for name in sorted(WITH_VECTORS)
    ],
    "distance": CONFIG.dataset.near_duplicate_distance,
    "seed": CONFIG.evaluation.seed,
    "most_drawn": CONFIG.evaluation.strips_drawn,
    "reading": CONFIG.dataset.images.reading,
}


rule compare_experiments:
    """One table and one picture of all experiments."""
    input:
        metrics=expand(results("evaluation/{experiment}/metrics.json"), experiment=EXPERIMENTS),
        queries=expand(results("evaluation/{experiment}/queries.csv"), experiment=EXPERIMENTS),
        curves=expand(results("evaluation/{experiment}/curves.csv"), experiment=EXPERIMENTS),
        rows=expand(
            results("evaluation/{experiment}/experiment.record.json"),
            experiment=EXPERIMENTS,
        ),
        faults=expand(results("reports/faults/{part}.csv"), part=PLAN.imported),
        leaks=results("reports/leaks.csv"),
        gallery=manifest("gallery"),
        query=manifest(PLAN.query_part),
        vectors=VECTORS_SEARCHED,
    output:
        table=results("comparison/comparison.csv"),
        metrics=results("comparison/metrics.csv"),
        differences=results("comparison/differences.csv"),
        seeds=results("comparison/over_seeds.csv"),
        page=results("comparison/comparison.md"),
        plot=reported("comparison/comparison.png", "comparison", figure="hit rate at k"),
        hit_rates=reported("comparison/hit_rates.png", "hit_rates", figure="hit rate against k"),
        precision=reported(
            "comparison/precision_recall.png",
            "precision_recall",
            figure="precision against recall",
        ),
        distractor_curve=reported(
            "comparison/growth.png",
            "distractor_curve",
            figure="hit rate against distractors",
        ),
        html=reported("comparison/comparison.html", "comparison_table", figure="table"),
        doubts=reported(
            "comparison/doubtful_labels.csv",
            "doubtful_labels",
            table="doubtful labels",
        ),
        doubts_drawn=reported(
            "comparison/doubtful_labels.png",
            "doubtful_labels",
            figure="doubtful labels",
        ),
        # The rows of those that are means over several seeds.
        means=[
            results(f"comparison/seeds/{name}.record.json")
            for name, members in PLAN.seeds.items()
            if len(members) > 1
        ],
        record=results("comparison/comparison.record.json"),
    log:
        logs("compare_experiments.log"),
    benchmark:
        benchmarks("compare_experiments.tsv")
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("compare_experiments"),
    params:
        code=code_of("compare_experiments"),
        groups=canonical_json(PLAN.seeds),
        decided_by=CONFIG.evaluation.decided_by,
        confidence=CONFIG.evaluation.confidence,
        bootstrap_rounds=CONFIG.evaluation.bootstrap_rounds,
        seed=CONFIG.evaluation.seed,
        doubting=canonical_json(DOUBTING),
    script:
        "../scripts/compare_experiments.py"
