# Stage 7: one vector a picture. See describe.smk, which does the same without networks.

for made in PLAN.extraction_rules("network"):

    rule:
        name:
            f"extract_features{made.suffix}"
        input:
            unpack(of_experiment(PLAN.manifests)),
            model=results("models/{experiment}/model.keras"),
            exported=multiext(results("models/{experiment}/model"), *EXPORTED),
            training_record=results("models/{experiment}/training.record.json"),
            preprocessing=results("models/{experiment}/preprocessing.json"),
            trunk=of_experiment(PLAN.extraction_trunk),
            weights=of_experiment(PLAN.weights),
            shards=made.shards,
        output:
            **made.outputs,
        log:
            logs(f"extract_features/{made.log}.log"),
        benchmark:
            benchmarks(f"extract_features/{made.log}.tsv")
        wildcard_constraints:
            experiment=one_of(made.experiments),
        conda:
            "../envs/gallerist.yaml"
        threads: processors(4)
        resources:
            **needs.of("extract_features"),
        params:
            code=code_of("extract_features"),
            compute=canonical_json(PLAN.computing),
            views=step("views"),
            parts=parts,
            shard=shard_of(made),
            store=results("store/features/{experiment}"),
            trunk_settings=trunk_settings,
            trunk_store=trunk_store,
        script:
            "../scripts/extract_features.py"
