# Stage 1: obtain the pictures, where they are not a folder of the user's.

if PLAN.source == "embedded":

    rule draw_silhouettes:
        """Draw the embedded data set to image files, a seeded sample of every class."""
        output:
            folder=directory(results("source")),
            record=results("source.record.json"),
        log:
            logs("draw_silhouettes.log"),
        benchmark:
            benchmarks("draw_silhouettes.tsv")
        conda:
            "../envs/gallerist.yaml"
        resources:
            **needs.of("draw_silhouettes"),
        params:
            code=code_of("draw_silhouettes"),
            settings=as_text(CONFIG.dataset.embedded),
        script:
            "../scripts/draw_silhouettes.py"


if PLAN.source == "archive":
    from gallerist.io.addresses import shown_url

    rule fetch_archive:
        """Download the archive, compare its checksum, and unpack it."""
        output:
            folder=directory(results("source")),
            record=results("source.record.json"),
        log:
            logs("fetch_archive.log"),
        benchmark:
            benchmarks("fetch_archive.tsv")
        conda:
            "../envs/gallerist.yaml"
        resources:
            **needs.of("fetch_archive"),
        params:
            code=code_of("fetch_archive"),
            # Parameters are kept and shown: the script has the whole address from the configuration.
            location=as_is(shown_url(CONFIG.dataset.archive.location)),
            sha256=CONFIG.dataset.archive.sha256,
            max_gigabytes=CONFIG.dataset.archive.max_gigabytes,
            # Outside the outputs, which a failed job loses: what was fetched is not fetched again.
            download=results("download"),
        script:
            "../scripts/fetch_archive.py"
