# Stage 3: decide which picture belongs to which part, and show what leaks from one to another.

SHARES = PLAN.shares
# Of parts that are apart, those with classes to be unseen are divided, too.
DIVIDED = [*SHARES, *(part for part in PLAN.undivided if part != "originals")]


rule split_images:
    """Divide the pictures of every class by the configured fractions."""
    input:
        **PLAN.undivided,
    output:
        **{part: results(f"manifests/{part}.csv") for part in DIVIDED},
        record=results("manifests/split.record.json"),
    log:
        logs("split_images.log"),
    benchmark:
        benchmarks("split_images.tsv")
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("split_images"),
    params:
        code=code_of("split_images"),
        fractions=canonical_json(SHARES),
        unseen=canonical_json(CONFIG.dataset.split.unseen_classes),
        seed=CONFIG.dataset.split.seed,
    script:
        "../scripts/split_images.py"


if CONFIG.dataset.extend:

    rule extend_training:
        """Add pictures of a pool to the training classes; refuse what is held out."""
        input:
            training=results("manifests/training.csv"),
            pool=results("manifests/pool.csv"),
            held_out=[manifest(part) for part in PLAN.parts_of_data if part != "training"],
        output:
            manifest=results("manifests/extended_training.csv"),
            refusals=results("reports/refused_pool_pictures.csv"),
            record=results("manifests/extended_training.record.json"),
        log:
            logs("extend_training.log"),
        benchmark:
            benchmarks("extend_training.tsv")
        conda:
            "../envs/gallerist.yaml"
        resources:
            **needs.of("extend_training"),
        params:
            code=code_of("extend_training"),
            per_class=CONFIG.dataset.extend.per_class,
            seed=CONFIG.dataset.extend.seed,
            distance=CONFIG.dataset.near_duplicate_distance,
        script:
            "../scripts/extend_training.py"


if CONFIG.dataset.truth:

    rule state_truth:
        """Write what is right as pairs of a query and a gallery picture, where no class says it."""
        input:
            gallery=manifest("gallery"),
            query=manifest(PLAN.query_part),
            faults=expand(results("reports/faults/{part}.csv"), part=PLAN.imported),
            stated=PLAN.stated_in,
        output:
            truth=results("truth.csv"),
            record=results("truth.record.json"),
        log:
            logs("state_truth.log"),
        benchmark:
            benchmarks("state_truth.tsv")
        conda:
            "../envs/gallerist.yaml"
        resources:
            **needs.of("state_truth"),
        params:
            code=code_of("state_truth"),
            settings=as_text(CONFIG.dataset.truth),
            table=CONFIG.dataset.table or "",
            folder=PLAN.part_folder("originals"),
        script:
            "../scripts/state_truth.py"


if PLAN.domains:

    rule state_domains:
        """Look up the domain of every query in the table of pictures."""
        input:
            query=manifest(PLAN.query_part),
        output:
            domains=results("domains.csv"),
            record=results("domains.record.json"),
        log:
            logs("state_domains.log"),
        benchmark:
            benchmarks("state_domains.tsv")
        conda:
            "../envs/gallerist.yaml"
        resources:
            **needs.of("state_domains"),
        params:
            code=code_of("state_domains"),
            table=CONFIG.dataset.table,
            folder=PLAN.part_folder("originals"),
            part=PLAN.asked_part,
            # The table itself is no input: other columns and rows of it repeat nothing.
            fingerprint=lambda wildcards: domains_fingerprint(
                CONFIG.dataset.table, PLAN.part_folder("originals"), PLAN.asked_part
            ),
        script:
            "../scripts/state_domains.py"


rule report_leaks:
    """Name every picture that is, or nearly is, in two parts at once."""
    input:
        **{part: manifest(part) for part in PLAN.parts_of_data},
    output:
        leaks=reported("reports/leaks.csv", "leaks", table="pictures in two parts"),
        record=results("reports/leaks.record.json"),
    log:
        logs("report_leaks.log"),
    benchmark:
        benchmarks("report_leaks.tsv")
    conda:
        "../envs/gallerist.yaml"
    resources:
        **needs.of("report_leaks"),
    params:
        code=code_of("report_leaks"),
        distance=CONFIG.dataset.near_duplicate_distance,
    script:
        "../scripts/report_leaks.py"
