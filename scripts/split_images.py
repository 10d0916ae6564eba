"""Rule split_images: the pictures of every class -> the parts of the experiment."""

from gallerist.data.manifest import Manifest
from gallerist.data.splitting import choose_unseen, split
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    fractions, unseen, seed = run.param("fractions"), run.param("unseen"), snakemake.params.seed
    whole = {part: Manifest.read(path) for part, path in snakemake.input.items()}
    if unseen is not None:
        labels = {label for each in whole.values() for label in each.classes}
        unseen = choose_unseen(labels, unseen, seed=seed)
        run.metrics(classes_unseen=len(unseen.intersection(labels)))
    parts = split(whole.pop("originals"), fractions, seed=seed, unseen=unseen)
    for part, pictures in whole.items():  # of a tree, which holds them apart
        parts |= split(pictures, {part: 1.0}, seed=seed, unseen=unseen)
    for part, pictures in parts.items():
        pictures.write(snakemake.output[part])
        run.metrics(**{f"{part}_images": len(pictures)})
        run.dataset(part, snakemake.output[part], pictures.digest, len(pictures))
