# Stage 2: look at every picture once; from here on, manifests are read, not folders.
#
# A part of the user's has a job of its own, so that no other is imported again with it. Parts of one
# source that is drawn or unpacked change together, and one job imports them; what is embedded it
# draws before.


rule import_images:
    """Decode, measure and identify every picture of a part; name each bad one."""
    input:
        corrections=lambda wildcards: PLAN.corrections(wildcards.part),
    output:
        manifests=[results("manifests/{part}.csv")],
        faults=[reported("reports/faults/{part}.csv", "faults", table="files with faults")],
        record=results("manifests/{part}.record.json"),
    log:
        logs("import_images/{part}.log"),
    benchmark:
        benchmarks("import_images/{part}.tsv")
    wildcard_constraints:
        part=one_of(PLAN.users),
    conda:
        "../envs/gallerist.yaml"
    threads: processors(4)
    resources:
        **needs.of("import_images"),
    params:
        code=code_of("import_images"),
        folder=lambda wildcards: PLAN.part_folder(wildcards.part),
        # Empty where the part is imported from a folder.
        table=lambda wildcards: (CONFIG.dataset.table if PLAN.in_table(wildcards.part) else ""),
        # Whether pictures of all classes lie side by side.
        flat=lambda wildcards: wildcards.part in PLAN.challenge_parts,
        fingerprint=part_fingerprint,
        # By sizes and times of files: what was in those that have not changed since.
        fingerprints=results("fingerprints/{part}.json"),
        store=results("store/pictures/{part}"),
        on_bad=CONFIG.dataset.images.on_bad,
        min_side=CONFIG.dataset.images.min_side,
        reading=READING,
    script:
        "../scripts/import_images.py"


DRAWN = {
    "source": {"folder": directory(results("source"))},
    "challenge": {
        "folder": directory(results("challenge/source")),
        "truth": results("challenge/truth.json"),
    },
}

for source, imported in PLAN.sources.items():
    embedded = PLAN.embedded(source)

    rule:
        name:
            f"import_images__{source}"
        input:
            source=[] if embedded else PLAN.part_source(imported[0]),
            corrections=PLAN.corrections(imported[0]),
        output:
            **(DRAWN[source] if embedded else {}),
            manifests=[results(f"manifests/{part}.csv") for part in imported],
            faults=[
                reported(
                    f"reports/faults/{part}.csv",
                    "faults",
                    part=part,
                    table="files with faults",
                )
                for part in imported
            ],
            record=results(f"manifests/{source}.record.json"),
        log:
            logs(f"import_images/{source}.log"),
        benchmark:
            benchmarks(f"import_images/{source}.tsv")
        conda:
            "../envs/gallerist.yaml"
        threads: processors(4)
        resources:
            **needs.of("import_images"),
        params:
            **({"settings": as_text(embedded)} if embedded else {}),
            code=code_of("import_images", drawing=["challenge.embedded"] if embedded else []),
            source=source,
            parts=imported,
            folders=[PLAN.part_folder(part) for part in imported],
            flat=source == "challenge",
            on_bad=CONFIG.dataset.images.on_bad,
            min_side=CONFIG.dataset.images.min_side,
            reading=READING,
        script:
            "../scripts/import_images.py"
