# Stage 7, from other experiments: their vectors side by side, or their rankings joined.

for made in PLAN.extraction_rules("fused_vectors"):

    rule:
        name:
            f"fuse_features{made.suffix}"
        input:
            unpack(of_experiment(PLAN.joined_features)),
            unpack(of_experiment(PLAN.weighed_by)),
        output:
            **made.outputs,
            weights=results("features/{experiment}/weights.json"),
        log:
            logs("fuse_features/{experiment}.log"),
        benchmark:
            benchmarks("fuse_features/{experiment}.tsv")
        wildcard_constraints:
            experiment=one_of(made.experiments),
        conda:
            "../envs/gallerist.yaml"
        resources:
            **needs.of("fuse_features"),
        params:
            code=code_of("fuse_features"),
            # Of the pairs that weights are learned from; others have none.
            seed=of_experiment(lambda name: PLAN.experiments[name].get("seed")),
            members=members,
            parts=parts,
        script:
            "../scripts/fuse_features.py"


rule fuse_rankings:
    """Join the rankings of several experiments by rank."""
    input:
        rankings=of_experiment(PLAN.member_rankings),
    output:
        rankings=PLAN.ranked("{experiment}.csv"),
        record=results("rankings/{experiment}.record.json"),
    log:
        logs("fuse_rankings/{experiment}.log"),
    benchmark:
        benchmarks("fuse_rankings/{experiment}.tsv")
    wildcard_constraints:
        experiment=one_of(FUSED_RANKINGS),
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("fuse_rankings"),
    params:
        code=code_of("fuse_rankings"),
        members=members,
        constant=setting("constant"),
        depth=CONFIG.search.depth,
    script:
        "../scripts/fuse_rankings.py"
