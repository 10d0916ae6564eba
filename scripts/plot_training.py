"""Rule plot_training: a training's history -> its curves as a picture."""

from gallerist.figures.training_curves import draw_training_curves
from gallerist.training.history import read_history
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    history = read_history(snakemake.input.history)
    draw_training_curves(history, snakemake.output.curves, title=run.title)
    run.artifact(snakemake.output.curves)
