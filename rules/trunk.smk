# Stage 5: pretrained weights, and what their frozen layers make of every picture, once for all.


rule fetch_weights:
    """Find pretrained weights once, before jobs that run side by side need them."""
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


rule extract_trunk:
    """Compute the frozen layers of a backbone for every picture of a part, and keep what they give."""
    input:
        manifest=lambda wildcards: manifest(wildcards.part),
        weights=lambda wildcards: weights_record(TRUNKS[wildcards.trunk]),
        code=library("extract_trunk"),
    output:
        rows=results("trunks/{trunk}/{part}.npy"),
        ids=results("trunks/{trunk}/{part}.ids.csv"),
        origin=results("trunks/{trunk}/{part}.origin.json"),
        record=results("trunks/{trunk}/{part}.record.json"),
    log:
        logs("extract_trunk/{trunk}-{part}.log"),
    benchmark:
        benchmarks("extract_trunk/{trunk}-{part}.tsv")
    wildcard_constraints:
        part="training|augmented|validation|gallery|query",
    conda:
        "../envs/gallerist.yaml"
    threads: 8
    resources:
        mem_mb=6000,
        gpu=1,
    params:
        settings=lambda wildcards: canonical_json(trunk_settings(TRUNKS[wildcards.trunk])),
        max_pixels=config["dataset"]["images"]["max_pixels"],
        compute=canonical_json(config["compute"]),
    script:
        "../scripts/extract_trunk.py"
