# Stage 8: fewer, better comparable numbers a picture, fitted on training pictures only.


rule fit_reduction:
    """Fit an experiment's reduction on the vectors of the training pictures."""
    input:
        training=lambda wildcards: PLAN.features(wildcards.experiment, "training"),
        pictures=manifest("training"),
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
        code=code_of("fit_reduction"),
        settings=step("reduction"),
        reading=READING,
    script:
        "../scripts/fit_reduction.py"


for made in PLAN.reduction_rules():

    rule:
        name:
            f"reduce_features{made.suffix}"
        input:
            unpack(of_experiment(PLAN.unreduced_features)),
            reduction=results("reductions/{experiment}.npz"),
        output:
            **made.outputs,
        log:
            logs("reduce_features/{experiment}.log"),
        benchmark:
            benchmarks("reduce_features/{experiment}.tsv")
        wildcard_constraints:
            experiment=one_of(made.experiments),
        conda:
            "../envs/gallerist.yaml"
        resources:
            **needs.of("reduce_features"),
        params:
            code=code_of("reduce_features"),
            parts=reduced_parts,
        script:
            "../scripts/reduce_features.py"
