# Stage 10: the answers of a search ordered again by what a distance does not know.


rule rerank_reciprocally:
    """Rank the gallery by k-reciprocal neighbours, which start from the distances."""
    input:
        galleries=of_experiment(PLAN.galleries),
        queries=of_experiment(PLAN.queries),
        pictures=PLAN.grouped,
    output:
        rankings=PLAN.ranked("{experiment}.reciprocal.csv"),
        record=results("rankings/{experiment}.reciprocal.record.json"),
    log:
        logs("rerank_reciprocally/{experiment}.log"),
    benchmark:
        benchmarks("rerank_reciprocally/{experiment}.tsv")
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("rerank_reciprocally"),
    params:
        code=code_of("rerank_reciprocally"),
        depth=CONFIG.search.depth,
        settings=step("k_reciprocal"),
        asking=canonical_json(PLAN.asking),
    script:
        "../scripts/rerank_reciprocally.py"


rule verify_geometry:
    """Order the first answers again by key points that agree with the query's."""
    input:
        rankings=rankings(before="geometric_verification"),
        galleries=[manifest(gallery) for gallery, _, _ in PLAN.searches],
        queries=[manifest(query) for _, query, _ in PLAN.searches],
    output:
        rankings=PLAN.ranked("{experiment}.verified.csv"),
        matches=[
            reported(
                f"{folder}/{{experiment}}.matches.png", "matches", figure="matched key points"
            )
            for _, _, folder in PLAN.searches
        ],
        record=results("rankings/{experiment}.verified.record.json"),
    log:
        logs("verify_geometry/{experiment}.log"),
    benchmark:
        benchmarks("verify_geometry/{experiment}.tsv")
    conda:
        "../envs/gallerist.yaml"
    threads: processors(4)
    resources:
        **needs.of("verify_geometry"),
    params:
        code=code_of("verify_geometry"),
        settings=step("geometric_verification"),
        reading=READING,
    script:
        "../scripts/verify_geometry.py"
