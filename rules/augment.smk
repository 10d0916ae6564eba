# Stage 4: warped copies of training pictures. Nothing held out is ever augmented.


rule augment_images:
    """Draw the configured number of warped copies of every training picture."""
    input:
        training=manifest("training"),
        code=library("augment_images"),
    output:
        folder=directory(results("augmented")),
        manifest=results("manifests/augmented.csv"),
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
        settings=as_text(CONFIG.augmentation),
        max_pixels=CONFIG.dataset.images.max_pixels,
    script:
        "../scripts/augment_images.py"
