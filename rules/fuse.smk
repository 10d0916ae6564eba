# Stage 7, from other experiments: their vectors side by side, or their rankings joined.


rule learn_fusion:
    """Weigh the members of a fusion by how well they tell classes apart in validation."""
    input:
        validation=manifest("validation"),
        members=lambda wildcards: PLAN.member_features(wildcards.experiment, "validation"),
        code=library("learn_fusion"),
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
        members=members,
        seed=setting("seed"),
    script:
        "../scripts/learn_fusion.py"


rule fuse_features:
    """Put the vectors of several experiments side by side."""
    input:
        members=of_part(PLAN.member_features),
        weights=of_experiment(PLAN.fusion_weights),
        code=library("fuse_features"),
    output:
        vectors=results("features/{experiment}/{part}.npy"),
        ids=results("features/{experiment}/{part}.ids.csv"),
        origin=results("features/{experiment}/{part}.origin.json"),
        record=results("features/{experiment}/{part}.record.json"),
    log:
        logs("fuse_features/{experiment}-{part}.log"),
    benchmark:
        benchmarks("fuse_features/{experiment}-{part}.tsv")
    wildcard_constraints:
        experiment=one_of(FUSED_VECTORS),
        part=one_of(PLAN.extracted),
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("fuse_features"),
    params:
        members=members,
    script:
        "../scripts/fuse_features.py"


rule fuse_rankings:
    """Join the rankings of several experiments by rank."""
    input:
        rankings=of_experiment(PLAN.member_rankings),
        code=library("fuse_rankings"),
    output:
        ranking=results("rankings/{experiment}.csv"),
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
        members=members,
        constant=setting("constant"),
        depth=CONFIG.search.depth,
    script:
        "../scripts/fuse_rankings.py"


if CHALLENGE:

    use rule fuse_rankings as fuse_challenge_rankings with:
        input:
            rankings=lambda wildcards: PLAN.member_rankings(wildcards.experiment, "challenge/"),
            code=library("fuse_rankings"),
        output:
            ranking=results("challenge/rankings/{experiment}.csv"),
            record=results("challenge/rankings/{experiment}.record.json"),
        log:
            logs("fuse_challenge_rankings/{experiment}.log"),
        benchmark:
            benchmarks("fuse_challenge_rankings/{experiment}.tsv")
