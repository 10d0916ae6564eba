# Stage 9: every query against the whole gallery.
#
# One job an experiment searches the data set's gallery, and the challenge's where there is one: the
# vectors of both come from one job as well.


rule search_gallery:
    """Rank each gallery for all its queries, by the vectors of one experiment."""
    input:
        galleries=of_experiment(PLAN.galleries),
        queries=of_experiment(PLAN.queries),
        pictures=PLAN.grouped,
    output:
        rankings=PLAN.ranked("{experiment}.csv"),
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
        code=code_of("search_gallery"),
        depth=CONFIG.search.depth,
        settings=step("search"),
        asking=canonical_json(PLAN.asking),
        # No output: another effort, depth or query needs no other index.
        indexes=results("store/indexes/{experiment}"),
    script:
        "../scripts/search_gallery.py"
