"""Rule augment_images: training pictures -> warped or drawn copies, and their manifest."""

from gallerist.data.augmentation import augment
from gallerist.data.manifest import Manifest
from gallerist.settings.augmentation import Augmentation
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    augmented = augment(
        Manifest.read(snakemake.input.training),
        snakemake.output.folder,
        run.settings_as(Augmentation),
        max_pixels=snakemake.params.max_pixels,
        threads=snakemake.threads,
    )
    augmented.write(snakemake.output.manifest)
    run.metrics(images=len(augmented))
    run.dataset("augmented", snakemake.output.manifest, augmented.digest, len(augmented))
