# Stage 7, from other experiments: their vectors side by side, or their rankings joined.


rule learn_fusion:
    """Weigh the members of a fusion by how well they tell classes apart in validation."""
    input:
        validation=manifest("validation"),
        members=lambda wildcards: PLAN.member_features(wildcards.experiment, "validation"),
    output:
        weights=results("fusions/{experiment}.json"),
        record=results("fusions/{experiment}.record.json"),
    log:
        logs("learn_fusion/{experiment}.log"),
    benchmark:
        benchmarks("learn_fusion/{experiment}.tsv")
    wildcard_constraints:
        experiment=one_of(FUSED_VECTORS),
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("learn_fusion"),
    params:
        code=code_of("learn_fusion"),
        members=members,
        seed=setting("seed"),
    script:
        "../scripts/learn_fusion.py"


for made in PLAN.extraction_rules("fused_vectors"):

    rule:
        name:
            f"fuse_features{made.suffix}"
        input:
            unpack(of_experiment(PLAN.joined_features)),
            weights=of_experiment(PLAN.fusion_weights),
        output:
            **made.outputs,
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
