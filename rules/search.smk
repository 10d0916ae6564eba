# Stage 8: every query against the whole gallery.


rule search_gallery:
    """Rank the gallery for all queries of one experiment, exactly."""
    input:
        gallery=multiext(
            results("features/{experiment}/gallery"), ".npy", ".ids.csv", ".origin.json"
        ),
        query=multiext(results("features/{experiment}/query"), ".npy", ".ids.csv", ".origin.json"),
        code=library("search_gallery"),
    output:
        ranking=results("rankings/{experiment}.csv"),
        record=results("rankings/{experiment}.record.json"),
    log:
        logs("search_gallery/{experiment}.log"),
    benchmark:
        benchmarks("search_gallery/{experiment}.tsv")
    conda:
        "../envs/gallerist.yaml"
    threads: 4
    params:
        depth=config["search"]["depth"],
    script:
        "../scripts/search_gallery.py"
