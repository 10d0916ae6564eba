# Stage 9: every query against the whole gallery.


rule search_gallery:
    """Rank the gallery for all queries of one experiment."""
    input:
        gallery=searched("gallery"),
        query=searched("query"),
        code=library("search_gallery"),
    output:
        ranking=results("rankings/{experiment}.csv"),
        record=results("rankings/{experiment}.record.json"),
    log:
        logs("search_gallery/{experiment}.log"),
    benchmark:
        benchmarks("search_gallery/{experiment}.tsv")
    wildcard_constraints:
        experiment=one_of(WITH_VECTORS),
    conda:
        "../envs/gallerist.yaml"
    threads: processors(4)
    resources:
        **needs.of("search_gallery"),
    params:
        depth=CONFIG.search.depth,
        settings=step("search"),
    script:
        "../scripts/search_gallery.py"


if CHALLENGE:

    use rule search_gallery as search_challenge with:
        input:
            gallery=searched("challenge_gallery"),
            query=searched("challenge_query"),
            code=library("search_gallery"),
        output:
            ranking=results("challenge/rankings/{experiment}.csv"),
            record=results("challenge/rankings/{experiment}.record.json"),
        log:
            logs("search_challenge/{experiment}.log"),
        benchmark:
            benchmarks("search_challenge/{experiment}.tsv")
