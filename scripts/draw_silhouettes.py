"""Rule draw_silhouettes: the embedded data set -> a tree of image files."""

from gallerist.data.silhouettes import draw_tree
from gallerist.settings.dataset import EmbeddedPictures
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    drawn = draw_tree(snakemake.output.folder, run.settings_as(EmbeddedPictures))
    run.metrics(**{f"{part}_images": count for part, count in drawn.items()})
