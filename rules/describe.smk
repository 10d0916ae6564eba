# Stage 7, without a network: one vector a picture by colour, texture, shape or key points.
#
# One job an experiment extracts the pictures of all its parts, or `compute.shards` jobs and one that
# gathers. What they find is kept in a store below {dataset}/store, which is no output: it outlives
# every rerun, so that no picture is extracted twice. Experiments need different parts: what follows
# two underscores in a rule's name says which ones beside those that are searched.

for made in PLAN.extraction_rules("descriptor"):

    rule:
        name:
            f"describe_images{made.suffix}"
        input:
            unpack(of_experiment(PLAN.manifests)),
            shards=made.shards,
        output:
            **made.outputs,
        log:
            logs(f"describe_images/{made.log}.log"),
        benchmark:
            benchmarks(f"describe_images/{made.log}.tsv")
        wildcard_constraints:
            experiment=one_of(made.experiments),
        conda:
            "../envs/gallerist.yaml"
        threads: processors(4)
        resources:
            **needs.of("describe_images"),
        params:
            code=code_of("describe_images"),
            settings=extraction_settings,
            parts=parts,
            shard=shard_of(made),
            store=results("store/features/{experiment}"),
            reading=READING,
        script:
            "../scripts/describe_images.py"


rule learn_vocabulary:
    """Learn the visual words of key points from the training pictures, or else the gallery."""
    input:
        training=manifest(PLAN.learned_from),
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
        code=code_of("learn_vocabulary"),
        settings=extraction_settings,
        key_points=results("store/key_points/{experiment}"),
        reading=READING,
    script:
        "../scripts/learn_vocabulary.py"


for made in PLAN.extraction_rules("vocabulary"):

    rule:
        name:
            f"encode_key_points{made.suffix}"
        input:
            unpack(of_experiment(PLAN.manifests)),
            vocabulary=results("vocabularies/{experiment}.npz"),
            shards=made.shards,
        output:
            **made.outputs,
        log:
            logs(f"encode_key_points/{made.log}.log"),
        benchmark:
            benchmarks(f"encode_key_points/{made.log}.tsv")
        wildcard_constraints:
            experiment=one_of(made.experiments),
        conda:
            "../envs/gallerist.yaml"
        threads: processors(4)
        resources:
            **needs.of("encode_key_points"),
        params:
            code=code_of("encode_key_points"),
            settings=extraction_settings,
            parts=parts,
            shard=shard_of(made),
            store=results("store/features/{experiment}"),
            key_points=results("store/key_points/{experiment}"),
            max_pixels=CONFIG.dataset.images.max_pixels,
        script:
            "../scripts/encode_key_points.py"


for made in PLAN.extraction_rules("given"):

    rule:
        name:
            f"take_vectors{made.suffix}"
        input:
            unpack(of_experiment(PLAN.manifests)),
            vectors=setting("vectors"),
            ids=setting("ids"),
            shards=made.shards,
        output:
            **made.outputs,
        log:
            logs(f"take_vectors/{made.log}.log"),
        benchmark:
            benchmarks(f"take_vectors/{made.log}.tsv")
        wildcard_constraints:
            experiment=one_of(made.experiments),
        conda:
            "../envs/gallerist.yaml"
        resources:
            **needs.of("take_vectors"),
        params:
            code=code_of("take_vectors"),
            parts=parts,
            shard=shard_of(made),
            store=results("store/features/{experiment}"),
            folder=PLAN.part_folder("originals"),
        script:
            "../scripts/take_vectors.py"
