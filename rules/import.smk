# Stage 2: look at every picture once; from here on, manifests are read, not folders.


rule import_images:
    """Decode, measure and identify every picture of a part; name each bad one."""
    input:
        source=part_made_here,
        code=library("import_images"),
    output:
        manifest=results("manifests/{part}.csv"),
        faults=report(
            results("reports/faults/{part}.csv"),
            caption="../report/faults.rst",
            category="Data",
            labels={"table": "files with faults", "part": "{part}"},
        ),
        record=results("manifests/{part}.record.json"),
    log:
        logs("import_images/{part}.log"),
    benchmark:
        benchmarks("import_images/{part}.tsv")
    wildcard_constraints:
        part=one_of([*IMPORTED, *CHALLENGE_PARTS]),
    conda:
        "../envs/gallerist.yaml"
    threads: 4
    params:
        folder=part_folder,
        flat=part_is_flat,
        fingerprint=part_fingerprint,
        on_bad=config["dataset"]["images"]["on_bad"],
        min_side=config["dataset"]["images"]["min_side"],
        max_pixels=config["dataset"]["images"]["max_pixels"],
    script:
        "../scripts/import_images.py"
