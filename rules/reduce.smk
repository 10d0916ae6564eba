# Stage 8: fewer, better comparable numbers a picture, fitted on training pictures only.


rule fit_reduction:
    """Fit an experiment's reduction on the vectors of the training pictures."""
    input:
        training=lambda wildcards: PLAN.features(wildcards.experiment, "training"),
        pictures=manifest("training"),
        code=library("fit_reduction"),
    output:
        reduction=results("reductions/{experiment}.npz"),
        record=results("reductions/{experiment}.record.json"),
    log:
        logs("fit_reduction/{experiment}.log"),
    benchmark:
        benchmarks("fit_reduction/{experiment}.tsv")
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("fit_reduction"),
    params:
        settings=step("reduction"),
        reading=READING,
    script:
        "../scripts/fit_reduction.py"


rule reduce_features:
    """Reduce the vectors of a part."""
    input:
        features=of_part(PLAN.features),
        reduction=results("reductions/{experiment}.npz"),
        code=library("reduce_features"),
    output:
        vectors=results("reduced/{experiment}/{part}.npy"),
        ids=results("reduced/{experiment}/{part}.ids.csv"),
        origin=results("reduced/{experiment}/{part}.origin.json"),
        record=results("reduced/{experiment}/{part}.record.json"),
    log:
        logs("reduce_features/{experiment}-{part}.log"),
    benchmark:
        benchmarks("reduce_features/{experiment}-{part}.tsv")
    wildcard_constraints:
        part=one_of(PLAN.extracted),
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("reduce_features"),
    script:
        "../scripts/reduce_features.py"
