# Stage 7: one vector a picture.


rule extract_features:
    """Extract one network's vector of every picture of a part."""
    input:
        manifest=lambda wildcards: manifest(wildcards.part),
        model=results("models/{experiment}/model.keras"),
        exported=multiext(results("models/{experiment}/model"), *EXPORTED),
        training=results("models/{experiment}/training.record.json"),
        preprocessing=results("models/{experiment}/preprocessing.json"),
        rows=of_part(PLAN.extraction_rows),
        code=library("extract_features"),
    output:
        vectors=results("features/{experiment}/{part}.npy"),
        ids=results("features/{experiment}/{part}.ids.csv"),
        origin=results("features/{experiment}/{part}.origin.json"),
        record=results("features/{experiment}/{part}.record.json"),
    log:
        logs("extract_features/{experiment}-{part}.log"),
    benchmark:
        benchmarks("extract_features/{experiment}-{part}.tsv")
    wildcard_constraints:
        experiment=one_of(NETWORKS),
        part=one_of(PLAN.extracted),
    conda:
        "../envs/gallerist.yaml"
    threads: processors(4)
    resources:
        **needs.of("extract_features"),
    params:
        compute=as_text(CONFIG.compute),
        views=step("views"),
    script:
        "../scripts/extract_features.py"
