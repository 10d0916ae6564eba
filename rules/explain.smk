# Stage 11, in pictures: which regions made two pictures match. Maps of vectors: evaluate.smk.


rule explain_experiment:
    """Draw what of the pictures a network compared, of some queries and their first answers."""
    input:
        model=results("models/{experiment}/model.keras"),
        exported=multiext(results("models/{experiment}/model"), *EXPORTED),
        training=results("models/{experiment}/training.record.json"),
        preprocessing=results("models/{experiment}/preprocessing.json"),
        ranking=of_experiment(PLAN.ranking),
        gallery=manifest("gallery"),
        query=manifest(PLAN.query_part),
    output:
        similarity=reported(
            "evaluation/{experiment}/similarity.png",
            "similarity",
            figure="what made two pictures match",
        ),
        record=results("evaluation/{experiment}/explanations.record.json"),
    log:
        logs("explain_experiment/{experiment}.log"),
    benchmark:
        benchmarks("explain_experiment/{experiment}.tsv")
    conda:
        "../envs/gallerist.yaml"
    threads: processors(2)
    resources:
        **needs.of("explain_experiment"),
    params:
        code=code_of("explain_experiment"),
        compute=canonical_json(PLAN.computing),
        strips_drawn=CONFIG.evaluation.strips_drawn,
    script:
        "../scripts/explain_experiment.py"
