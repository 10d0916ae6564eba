# Stage 10: the answers of a search ordered again by what a distance does not know.


rule rerank_reciprocally:
    """Rank the gallery by k-reciprocal neighbours, which start from the distances."""
    input:
        gallery=searched("gallery"),
        query=searched("query"),
        code=library("rerank_reciprocally"),
    output:
        ranking=results("rankings/{experiment}.reciprocal.csv"),
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
        depth=CONFIG.search.depth,
        settings=step("k_reciprocal"),
    script:
        "../scripts/rerank_reciprocally.py"


rule verify_geometry:
    """Order the first answers again by key points that agree with the query's."""
    input:
        ranking=ranking(before="geometric_verification"),
        gallery=manifest("gallery"),
        query=manifest("query"),
        code=library("verify_geometry"),
    output:
        ranking=results("rankings/{experiment}.verified.csv"),
        matches=reported(
            "rankings/{experiment}.matches.png", "matches", figure="matched key points"
        ),
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
        settings=step("geometric_verification"),
        reading=READING,
    script:
        "../scripts/verify_geometry.py"


if CHALLENGE:

    use rule rerank_reciprocally as rerank_challenge with:
        input:
            gallery=searched("challenge_gallery"),
            query=searched("challenge_query"),
            code=library("rerank_reciprocally"),
        output:
            ranking=results("challenge/rankings/{experiment}.reciprocal.csv"),
            record=results("challenge/rankings/{experiment}.reciprocal.record.json"),
        log:
            logs("rerank_challenge/{experiment}.log"),
        benchmark:
            benchmarks("rerank_challenge/{experiment}.tsv")

    use rule verify_geometry as verify_challenge with:
        input:
            ranking=ranking("challenge/", before="geometric_verification"),
            gallery=results("manifests/challenge_gallery.csv"),
            query=results("manifests/challenge_query.csv"),
            code=library("verify_geometry"),
        output:
            ranking=results("challenge/rankings/{experiment}.verified.csv"),
            matches=results("challenge/rankings/{experiment}.matches.png"),
            record=results("challenge/rankings/{experiment}.verified.record.json"),
        log:
            logs("verify_challenge/{experiment}.log"),
        benchmark:
            benchmarks("verify_challenge/{experiment}.tsv")
