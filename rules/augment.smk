# Stage 4: copies of training pictures, warped where they are read. Nothing held out is ever augmented.


rule augment_images:
    """Draw the numbers of every copy of a training picture, and show some copies."""
    input:
        training=manifest("training"),
    output:
        **({"folder": directory(results("augmented"))} if config["augmentation"]["files"] else {}),
        manifest=results("manifests/augmented.csv"),
        samples=reported("reports/augmented.png", "augmented", figure="augmented copies"),
        record=results("manifests/augmented.record.json"),
    log:
        logs("augment_images.log"),
    benchmark:
        benchmarks("augment_images.tsv")
    conda:
        "../envs/gallerist.yaml"
    threads: processors(4)
    resources:
        **needs.of("augment_images"),
    params:
        code=code_of("augment_images", copies=True),
        settings=as_text(CONFIG.augmentation),
        reading=READING,
    script:
        "../scripts/augment_images.py"
