# Stage 7, from other experiments: their vectors side by side, or their rankings joined.


rule learn_fusion:
    """Weigh the members of a fusion by how well they tell classes apart in validation."""
    input:
        validation=manifest("validation"),
        members=lambda wildcards: member_features(wildcards.experiment, "validation"),
        code=library("learn_fusion"),
    output:
        weights=results("fusions/{experiment}.json"),
        record=results("fusions/{experiment}.record.json"),
    log:
        logs("learn_fusion/{experiment}.log"),
    benchmark:
        benchmarks("learn_fusion/{experiment}.tsv")
    wildcard_constraints:
        experiment=one_of(JOINED),
    conda:
        "../envs/gallerist.yaml"
    params:
        members=lambda wildcards: canonical_json(members(wildcards.experiment)),
        seed=lambda wildcards: EXPERIMENTS[wildcards.experiment]["seed"],
    script:
        "../scripts/learn_fusion.py"


rule fuse_features:
    """Put the vectors of several experiments side by side."""
    input:
        members=lambda wildcards: member_features(wildcards.experiment, wildcards.part),
        weights=lambda wildcards: (
            results(f"fusions/{wildcards.experiment}.json")
            if EXPERIMENTS[wildcards.experiment]["fusion"] == "weighted"
            else []
        ),
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
        experiment=one_of(JOINED),
        part=one_of(DESCRIBED),
    conda:
        "../envs/gallerist.yaml"
    params:
        members=lambda wildcards: canonical_json(members(wildcards.experiment)),
    script:
        "../scripts/fuse_features.py"


rule fuse_rankings:
    """Join the rankings of several experiments by rank."""
    input:
        rankings=lambda wildcards: [ranking_of(name) for name in members(wildcards.experiment)],
        code=library("fuse_rankings"),
    output:
        ranking=results("rankings/{experiment}.csv"),
        record=results("rankings/{experiment}.record.json"),
    log:
        logs("fuse_rankings/{experiment}.log"),
    benchmark:
        benchmarks("fuse_rankings/{experiment}.tsv")
    wildcard_constraints:
        experiment=one_of(JOINED_RANKINGS),
    conda:
        "../envs/gallerist.yaml"
    params:
        members=lambda wildcards: canonical_json(members(wildcards.experiment)),
        constant=lambda wildcards: EXPERIMENTS[wildcards.experiment]["constant"],
        depth=config["search"]["depth"],
    script:
        "../scripts/fuse_rankings.py"
