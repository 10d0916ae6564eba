"""Rule split_images: the pictures of every class -> the parts of the experiment."""

from gallerist.data.manifest import Manifest
from gallerist.data.splitting import split
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    fractions = run.param("fractions")
    originals = Manifest.read(snakemake.input.originals)
    for part, pictures in split(originals, fractions, seed=snakemake.params.seed).items():
        pictures.write(snakemake.output[part])
        run.metrics(**{f"{part}_images": len(pictures)})
        run.dataset(part, snakemake.output[part], pictures.digest, len(pictures))
