"""Rule augment_images: training pictures -> warped or drawn copies, and their manifest."""

from gallerist.data.augmentation import Ranges, augment
from gallerist.data.manifest import Manifest
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    settings = run.settings
    copies, seed, max_side = (settings.pop(name) for name in ("copies", "seed", "max_side"))
    augmented = augment(
        Manifest.read(snakemake.input.training),
        snakemake.output.folder,
        copies=copies,
        ranges=Ranges(**settings),
        seed=seed,
        max_side=max_side,
        max_pixels=snakemake.params.max_pixels,
        threads=snakemake.threads,
    )
    augmented.write(snakemake.output.manifest)
    run.metrics(images=len(augmented))
    run.dataset("augmented", snakemake.output.manifest, augmented.digest, len(augmented))
