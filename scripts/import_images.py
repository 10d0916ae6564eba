"""Rule import_images: class folders, or a table -> a manifest, and the files with faults."""

from gallerist.data.corrections import correct, read_corrections
from gallerist.data.importing import import_folder, stop_on_bad_images, write_problems
from gallerist.data.table import import_table
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    params = snakemake.params
    how = {
        "part": snakemake.wildcards.part,
        "min_side": params.min_side,
        **run.param("reading"),
        "threads": snakemake.threads,
    }
    if params.table:
        imported = import_table(params.table, params.folder, **how)
    else:
        imported = import_folder(params.folder, **how, flat=params.flat)
    if params.on_bad == "fail":
        stop_on_bad_images(imported.problems)
    if snakemake.input.corrections:
        corrections = read_corrections(snakemake.input.corrections)
        imported = correct(imported, corrections, snakemake.wildcards.part)
        run.parameters({"corrections": snakemake.input.corrections})
        run.metrics(corrections=len(corrections))
    write_problems(snakemake.output.faults, imported.problems)
    images = imported.manifest
    images.write(snakemake.output.manifest)
    skipped = sum(problem.severity == "skipped" for problem in imported.problems)
    run.metrics(
        images=len(images),
        classes=len(images.classes),
        images_skipped=skipped,
        images_warned=len(imported.problems) - skipped,
    )
    run.dataset(snakemake.wildcards.part, snakemake.output.manifest, images.digest, len(images))
    run.artifact(snakemake.output.faults)
