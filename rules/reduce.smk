# Stage 8: fewer, better comparable numbers a picture, fitted on training pictures only.


TRAINING_VECTORS = vectors(lambda experiment: PLAN.features(experiment, "training"))


rule fit_reduction:
    """Fit an experiment's reduction on the vectors of the training pictures."""
    input:
        training=TRAINING_VECTORS,
        sources=sources(TRAINING_VECTORS),
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
        mem_mb=4000,
    params:
        settings=step("reduction"),
        vectors_by=vectors_by,
        max_pixels=CONFIG.dataset.images.max_pixels,
    script:
        "../scripts/fit_reduction.py"


rule reduce_features:
    """Reduce the vectors of a part."""
    input:
        features=vectors(PLAN.features),
        sources=sources(vectors(PLAN.features)),
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
    params:
        vectors_by=vectors_by,
    script:
        "../scripts/reduce_features.py"
