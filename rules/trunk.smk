# Stage 5: pretrained weights, and what their frozen layers make of every picture, once for all.


rule fetch_weights:
    """Find pretrained weights once, before jobs that run side by side need them."""
    input:
        file=lambda wildcards: PLAN.pretrained[wildcards.pretrained].weights_file or [],
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
        **needs.of("fetch_weights"),
    params:
        code=code_of("fetch_weights"),
        backbone=lambda wildcards: PLAN.pretrained[wildcards.pretrained].settings.backbone,
        weights=lambda wildcards: PLAN.pretrained[wildcards.pretrained].settings.weights,
        # Not an output, because random weights need no file. Its hash is in the outputs.
        kept=results("weights/{pretrained}.weights.h5"),
    script:
        "../scripts/fetch_weights.py"


rule export_trunk:
    """Write the frozen layers of a backbone for OpenVINO, once for all pictures."""
    input:
        weights=lambda wildcards: PLAN.weights(PLAN.trunks[wildcards.trunk].name),
    output:
        exported=multiext(results("trunks/{trunk}/trunk"), *EXPORTED),
        record=results("trunks/{trunk}/trunk.record.json"),
    log:
        logs("export_trunk/{trunk}.log"),
    benchmark:
        benchmarks("export_trunk/{trunk}.tsv")
    conda:
        "../envs/gallerist.yaml"
    threads: 1
    resources:
        **needs.of("export_trunk"),
    params:
        code=code_of("export_trunk"),
        settings=lambda wildcards: canonical_json(PLAN.trunks[wildcards.trunk].trunk_settings),
    script:
        "../scripts/export_trunk.py"


rule extract_trunk:
    """Compute the frozen layers of a backbone once for every picture that networks learn from.

    What they give is in a store, which is no output: see describe.smk. That of pictures that are
    searched is added where features are extracted: no network is trained again for one of these.
    """
    input:
        unpack(lambda wildcards: PLAN.trunk_manifests(wildcards.trunk)),
        weights=lambda wildcards: PLAN.weights(PLAN.trunks[wildcards.trunk].name),
        exported=multiext(results("trunks/{trunk}/trunk"), *EXPORTED),
        export=results("trunks/{trunk}/trunk.record.json"),
    output:
        record=results("trunks/{trunk}/training.record.json"),
    log:
        logs("extract_trunk/{trunk}.log"),
    benchmark:
        benchmarks("extract_trunk/{trunk}.tsv")
    conda:
        "../envs/gallerist.yaml"
    threads: processors(8)
    resources:
        **needs.of("extract_trunk"),
    params:
        code=lambda wildcards: code_of(
            "extract_trunk",
            copies="augmented" in PLAN.trunk_manifests(wildcards.trunk),
        ),
        settings=lambda wildcards: canonical_json(PLAN.trunks[wildcards.trunk].trunk_settings),
        parts=lambda wildcards: canonical_json([*PLAN.trunk_manifests(wildcards.trunk)]),
        reading=READING,
        compute=canonical_json(PLAN.computing),
        store=results("store/trunks/{trunk}"),
    script:
        "../scripts/extract_trunk.py"
