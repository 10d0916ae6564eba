# Stages 5 to 7 of an encoder that others trained: it is imported once, and nothing is trained.


rule import_onnx:
    """Write the encoder of an ONNX file for OpenVINO, as it sees pixels."""
    input:
        file=of_experiment(PLAN.encoder_files),
    output:
        exported=multiext(results("encoders/{experiment}/model"), *EXPORTED),
        preprocessing=results("encoders/{experiment}/preprocessing.json"),
        record=results("encoders/{experiment}/encoder.record.json"),
    log:
        logs("import_onnx/{experiment}.log"),
    benchmark:
        benchmarks("import_onnx/{experiment}.tsv")
    wildcard_constraints:
        experiment=one_of(PLAN.encoders("onnx")),
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("import_onnx"),
    params:
        code=code_of("import_onnx"),
        settings=extraction_settings,
        reading=READING,
        # Not an output: it outlives reruns, and is fetched where the settings give an address.
        fetched=results("download/{experiment}.onnx"),
    script:
        "../scripts/import_onnx.py"


rule import_keras:
    """Store the model of a .keras file as an encoder of pixels, for OpenVINO too."""
    input:
        file=of_experiment(PLAN.encoder_files),
    output:
        model=results("encoders/{experiment}/model.keras"),
        exported=multiext(results("encoders/{experiment}/model"), *EXPORTED),
        preprocessing=results("encoders/{experiment}/preprocessing.json"),
        record=results("encoders/{experiment}/encoder.record.json"),
    log:
        logs("import_keras/{experiment}.log"),
    benchmark:
        benchmarks("import_keras/{experiment}.tsv")
    wildcard_constraints:
        experiment=one_of(PLAN.encoders("keras")),
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("import_keras"),
    params:
        code=code_of("import_keras"),
        settings=extraction_settings,
        reading=READING,
    script:
        "../scripts/import_keras.py"


for made in PLAN.extraction_rules("encoder"):

    rule:
        name:
            f"encode_images{made.suffix}"
        input:
            unpack(of_experiment(PLAN.manifests)),
            encoder=of_experiment(PLAN.encoder),
            imported=results("encoders/{experiment}/encoder.record.json"),
            preprocessing=results("encoders/{experiment}/preprocessing.json"),
            shards=made.shards,
        output:
            **made.outputs,
        log:
            logs(f"encode_images/{made.log}.log"),
        benchmark:
            benchmarks(f"encode_images/{made.log}.tsv")
        wildcard_constraints:
            experiment=one_of(made.experiments),
        conda:
            "../envs/gallerist.yaml"
        threads: processors(4)
        resources:
            **needs.of("encode_images"),
        params:
            code=code_of("encode_images"),
            compute=canonical_json(PLAN.computing),
            parts=parts,
            shard=shard_of(made),
            store=results("store/features/{experiment}"),
        script:
            "../scripts/encode_images.py"
