"""Rule augment_images: training pictures -> the recipes of warped or drawn copies, and samples."""

from gallerist.data.augmentation import augment, draw_samples, write_copies
from gallerist.data.manifest import Manifest
from gallerist.settings.augmentation import Augmentation
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    output, reading = snakemake.output, run.param("reading")
    settings = run.settings_as(Augmentation)
    training = Manifest.read(snakemake.input.training)
    copies = augment(training, settings)
    draw_samples(training, copies, output.samples, **reading)
    if settings.files:
        copies = write_copies(copies, output.folder, threads=snakemake.threads, **reading)
    copies.write(output.manifest)
    run.metrics(images=len(copies))
    run.dataset("augmented", output.manifest, copies.digest, len(copies))
    run.artifact(output.samples)
