# Stage 11, in pictures: where vectors lie, and which regions made two pictures match.


rule draw_feature_map:
    """Draw gallery and queries in one plane, near where their vectors are."""
    input:
        gallery=searched("gallery"),
        query=searched("query"),
        gallery_manifest=manifest("gallery"),
        query_manifest=manifest("query"),
        ranking=ranking(),
        code=library("draw_feature_map"),
    output:
        map=reported("evaluation/{experiment}/map.png", "map", figure="map of the vectors"),
        record=results("evaluation/{experiment}/map.record.json"),
    log:
        logs("draw_feature_map/{experiment}.log"),
    benchmark:
        benchmarks("draw_feature_map/{experiment}.tsv")
    wildcard_constraints:
        experiment=one_of(WITH_VECTORS),
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("draw_feature_map"),
    params:
        seed=CONFIG.evaluation.seed,
    script:
        "../scripts/draw_feature_map.py"


rule draw_similarity:
    """Show which regions of a query and its first answer make their vectors similar."""
    input:
        model=results("models/{experiment}/model.keras"),
        exported=multiext(results("models/{experiment}/model"), *EXPORTED),
        training=results("models/{experiment}/training.record.json"),
        preprocessing=results("models/{experiment}/preprocessing.json"),
        ranking=ranking(),
        gallery=manifest("gallery"),
        query=manifest("query"),
        code=library("draw_similarity"),
    output:
        similarity=reported(
            "evaluation/{experiment}/similarity.png",
            "similarity",
            figure="what made two pictures match",
        ),
        record=results("evaluation/{experiment}/similarity.record.json"),
    log:
        logs("draw_similarity/{experiment}.log"),
    benchmark:
        benchmarks("draw_similarity/{experiment}.tsv")
    wildcard_constraints:
        experiment=one_of(NETWORKS),
    conda:
        "../envs/gallerist.yaml"
    threads: processors(2)
    resources:
        **needs.of("draw_similarity"),
    params:
        compute=canonical_json(PLAN.computing),
        strips_drawn=CONFIG.evaluation.strips_drawn,
    script:
        "../scripts/draw_similarity.py"
