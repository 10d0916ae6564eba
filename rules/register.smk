# Stage 14, only where it is asked for: experiments as models that MLflow can serve.


rule register_models:
    """Register experiments in MLflow, and move the alias champion to what is really better."""
    input:
        metrics=expand(results("evaluation/{experiment}/metrics.json"), experiment=PLAN.registered),
        queries=expand(results("evaluation/{experiment}/queries.csv"), experiment=PLAN.registered),
        rows=expand(
            results("evaluation/{experiment}/experiment.record.json"),
            experiment=PLAN.registered,
        ),
        gallery=manifest("gallery"),
        query=manifest(PLAN.query_part),
        files=PLAN.model_files,
    output:
        registered=results("registry/registered.json"),
        record=results("registry/registered.record.json"),
    log:
        logs("register_models.log"),
    benchmark:
        benchmarks("register_models.tsv")
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("register_models"),
    params:
        code=code_of("register_models"),
        # The code that becomes part of a model.
        answering=code_of("gallerist/serving/pyfunc"),
        experiments=canonical_json(PLAN.registered_names),
        decided_by=CONFIG.evaluation.decided_by,
        confidence=CONFIG.evaluation.confidence,
        bootstrap_rounds=CONFIG.evaluation.bootstrap_rounds,
        seed=CONFIG.evaluation.seed,
        # Where it is changed, the models are to be in the other store.
        store=as_is(CONFIG.tracking.uri or ""),
    script:
        "../scripts/register_models.py"
