# Stage 1: obtain the pictures, where they are neither a folder of the user's nor drawn: see import.smk.

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
