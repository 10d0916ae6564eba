# Stage 6: training.


rule train_network:
    """Train one experiment's network on the training pictures and their copies."""
    input:
        training=manifest("training"),
        augmented=of_experiment(PLAN.augmented_copies),
        validation=manifest("validation"),
        weights=of_experiment(PLAN.weights),
        trunk=of_experiment(PLAN.training_trunk),
        rows=of_experiment(PLAN.training_rows),
    output:
        model=results("models/{experiment}/model.keras"),
        # The same for OpenVINO, so that who only runs it loads neither Keras nor TensorFlow.
        exported=multiext(results("models/{experiment}/model"), *EXPORTED),
        preprocessing=results("models/{experiment}/preprocessing.json"),
        history=results("models/{experiment}/history.csv"),
        record=results("models/{experiment}/training.record.json"),
    log:
        logs("train_network/{experiment}.log"),
    benchmark:
        benchmarks("train_network/{experiment}.tsv")
    conda:
        "../envs/gallerist.yaml"
    threads: of_training
    resources:
        **needs.of("train_network"),
    params:
        code=lambda wildcards: code_of(
            "train_network", copies=bool(PLAN.augmented_copies(wildcards.experiment))
        ),
        settings=extraction_settings,
        reading=READING,
        gpu_precision=CONFIG.compute.gpu_precision,
        gpu_xla=CONFIG.compute.gpu_xla,
        compute=canonical_json(PLAN.computing),
        store=trunk_store,
        # Not an output: it outlives a killed job, and is gone when the training is done.
        checkpoint=results("models/{experiment}/checkpoint.npz"),
    script:
        "../scripts/train_network.py"
