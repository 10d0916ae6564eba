"""Rule import_images: class folders, or a table -> manifests, and the files with faults."""

from gallerist.data.corrections import correct, read_corrections
from gallerist.data.examining import Examiner
from gallerist.data.importing import import_folder, stop_on_bad_images, write_problems
from gallerist.data.table import import_table
from gallerist.workflow.stage import stage
from gallerist.workflow.stores import open_store

with stage(snakemake) as run:
    params, given, output = snakemake.params, snakemake.input, snakemake.output
    how = {"min_side": params.min_side, **run.param("reading"), "threads": snakemake.threads}
    if params.get("settings"):
        from gallerist.challenge.embedded import draw_source

        draw_source(run, dict(output.items()))
    one = snakemake.wildcards.get("part")
    if one:  # of the user's, where what has not changed is not decoded again
        store = open_store(params.store, Examiner, params.min_side, run.param("reading"))
        how |= {"kept": store, "fingerprints": params.fingerprints}
    parts, folders = ([one], [params.folder]) if one else (params.parts, params.folders)
    imported = {}
    for part, folder in zip(parts, folders, strict=True):
        if params.get("table"):
            imported[part] = import_table(params.table, folder, part=part, **how)
        else:
            imported[part] = import_folder(folder, part=part, **how, flat=params.flat)
    if params.on_bad == "fail":
        stop_on_bad_images(problem for each in imported.values() for problem in each.problems)
    if given.corrections:
        corrections = read_corrections(given.corrections)
        imported = {part: correct(each, corrections, part) for part, each in imported.items()}
        run.parameters({"corrections": given.corrections})
        run.metrics(corrections=len(corrections))
    files = zip(imported.items(), output.manifests, output.faults, strict=True)
    for (part, each), manifest, faults in files:
        write_problems(faults, each.problems)
        each.manifest.write(manifest)
        run.metrics({f"{part}_images": len(each.manifest)})
        run.dataset(part, manifest, each.manifest.digest, len(each.manifest))
        run.artifact(faults)
    if one:
        run.tag(store=store.folder)
        run.metrics(images_examined=store.computed)
    problems = [problem for each in imported.values() for problem in each.problems]
    skipped = sum(problem.severity == "skipped" for problem in problems)
    run.metrics(
        images=sum(len(each.manifest) for each in imported.values()),
        classes=len({label for each in imported.values() for label in each.manifest.classes}),
        images_skipped=skipped,
        images_warned=len(problems) - skipped,
    )
