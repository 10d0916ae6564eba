# Stage 7, without a network: one vector a picture by colour, texture, shape or key points.


rule describe_images:
    """Extract a vector of every picture of a part: its colours, its texture or its shapes."""
    input:
        manifest=lambda wildcards: manifest(wildcards.part),
        code=library("describe_images"),
    output:
        vectors=results("features/{experiment}/{part}.npy"),
        ids=results("features/{experiment}/{part}.ids.csv"),
        origin=results("features/{experiment}/{part}.origin.json"),
        record=results("features/{experiment}/{part}.record.json"),
    log:
        logs("describe_images/{experiment}-{part}.log"),
    benchmark:
        benchmarks("describe_images/{experiment}-{part}.tsv")
    wildcard_constraints:
        experiment=one_of(DESCRIPTORS),
        part=one_of(PLAN.extracted),
    conda:
        "../envs/gallerist.yaml"
    threads: processors(4)
    resources:
        **needs.of("describe_images"),
    params:
        settings=extraction_settings,
        max_pixels=CONFIG.dataset.images.max_pixels,
    script:
        "../scripts/describe_images.py"


rule learn_vocabulary:
    """Learn the visual words of key points from the training pictures."""
    input:
        training=manifest("training"),
        code=library("learn_vocabulary"),
    output:
        vocabulary=results("vocabularies/{experiment}.npz"),
        drawn=reported("vocabularies/{experiment}.png", "key_points", figure="key points"),
        record=results("vocabularies/{experiment}.record.json"),
    log:
        logs("learn_vocabulary/{experiment}.log"),
    benchmark:
        benchmarks("learn_vocabulary/{experiment}.tsv")
    wildcard_constraints:
        experiment=one_of(VOCABULARIES),
    conda:
        "../envs/gallerist.yaml"
    threads: processors(4)
    resources:
        **needs.of("learn_vocabulary"),
    params:
        settings=extraction_settings,
    script:
        "../scripts/learn_vocabulary.py"


rule encode_key_points:
    """Extract a vector of every picture of a part: the visual words of its key points."""
    input:
        manifest=lambda wildcards: manifest(wildcards.part),
        vocabulary=results("vocabularies/{experiment}.npz"),
        code=library("encode_key_points"),
    output:
        vectors=results("features/{experiment}/{part}.npy"),
        ids=results("features/{experiment}/{part}.ids.csv"),
        origin=results("features/{experiment}/{part}.origin.json"),
        record=results("features/{experiment}/{part}.record.json"),
    log:
        logs("encode_key_points/{experiment}-{part}.log"),
    benchmark:
        benchmarks("encode_key_points/{experiment}-{part}.tsv")
    wildcard_constraints:
        experiment=one_of(VOCABULARIES),
        part=one_of(PLAN.extracted),
    conda:
        "../envs/gallerist.yaml"
    threads: processors(4)
    resources:
        **needs.of("encode_key_points"),
    params:
        settings=extraction_settings,
    script:
        "../scripts/encode_key_points.py"
