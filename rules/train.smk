# Stage 5: pretrained weights, training, and the curves of it.


rule fetch_weights:
    """Find pretrained weights once, before training jobs that run side by side need them."""
    input:
        code=library("fetch_weights"),
        file=lambda wildcards: pretrained_file(PRETRAINED[wildcards.pretrained]["weights"]),
    output:
        weights=results("weights/{pretrained}.json"),
        record=results("weights/{pretrained}.record.json"),
    log:
        logs("fetch_weights/{pretrained}.log"),
    benchmark:
        benchmarks("fetch_weights/{pretrained}.tsv")
    conda:
        "../envs/gallerist.yaml"
    resources:
        mem_mb=4000,
    params:
        backbone=lambda wildcards: PRETRAINED[wildcards.pretrained]["backbone"],
        weights=lambda wildcards: PRETRAINED[wildcards.pretrained]["weights"],
        # Not an output, because random weights need no file. Its hash is in the outputs.
        kept=results("weights/{pretrained}.weights.h5"),
    script:
        "../scripts/fetch_weights.py"


rule train_network:
    """Train one experiment's network on the training pictures and their copies."""
    input:
        training=manifest("training"),
        augmented=augmented_copies,
        validation=manifest("validation"),
        weights=experiment_weights,
        code=library("train_network"),
    output:
        model=results("models/{experiment}/model.keras"),
        preprocessing=results("models/{experiment}/preprocessing.json"),
        history=results("models/{experiment}/history.csv"),
        record=results("models/{experiment}/training.record.json"),
    log:
        logs("train_network/{experiment}.log"),
    benchmark:
        benchmarks("train_network/{experiment}.tsv")
    conda:
        "../envs/gallerist.yaml"
    threads: 8
    resources:
        mem_mb=8000,
        gpu=1,
    params:
        settings=lambda wildcards: canonical_json(config["experiments"][wildcards.experiment]),
        max_pixels=config["dataset"]["images"]["max_pixels"],
    script:
        "../scripts/train_network.py"


rule plot_training:
    """Draw loss and accuracy by epoch, training and validation."""
    input:
        history=results("models/{experiment}/history.csv"),
        code=library("plot_training"),
    output:
        curves=report(
            results("models/{experiment}/curves.png"),
            caption="../report/curves.rst",
            category="Training",
            labels={"experiment": "{experiment}", "figure": "curves"},
        ),
        record=results("models/{experiment}/curves.record.json"),
    log:
        logs("plot_training/{experiment}.log"),
    benchmark:
        benchmarks("plot_training/{experiment}.tsv")
    conda:
        "../envs/gallerist.yaml"
    script:
        "../scripts/plot_training.py"
