"""Rule plot_training: a training's history -> its curves as a picture."""

from gallerist.figures.plots import draw_curves
from gallerist.training.history import read_history
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    history = read_history(snakemake.input.history)
    draw_curves(history, snakemake.output.curves, title=run.title)
    run.artifact(snakemake.output.curves)
