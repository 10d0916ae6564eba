# Stage 2: look at every picture once; from here on, manifests are read, not folders.


rule import_images:
    """Decode, measure and identify every picture of a part; name each bad one."""
    input:
        source=lambda wildcards: PLAN.part_source(wildcards.part),
        corrections=lambda wildcards: PLAN.corrections(wildcards.part),
    output:
        manifest=results("manifests/{part}.csv"),
        faults=reported("reports/faults/{part}.csv", "faults", table="files with faults"),
        record=results("manifests/{part}.record.json"),
    log:
        logs("import_images/{part}.log"),
    benchmark:
        benchmarks("import_images/{part}.tsv")
    wildcard_constraints:
        part=one_of([*PLAN.imported, *PLAN.challenge_parts]),
    conda:
        "../envs/gallerist.yaml"
    threads: processors(4)
    resources:
        **needs.of("import_images"),
    params:
        code=code_of("import_images"),
        folder=lambda wildcards: PLAN.part_folder(wildcards.part),
        # Empty where the part is imported from a folder.
        table=lambda wildcards: CONFIG.dataset.table if PLAN.in_table(wildcards.part) else "",
        # Whether pictures of all classes lie side by side.
        flat=lambda wildcards: wildcards.part in PLAN.challenge_parts,
        fingerprint=part_fingerprint,
        on_bad=CONFIG.dataset.images.on_bad,
        min_side=CONFIG.dataset.images.min_side,
        reading=READING,
    script:
        "../scripts/import_images.py"
