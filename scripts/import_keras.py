"""Rule import_keras: a .keras file or a preset -> an encoder of pixels, and its preprocessing."""

from pathlib import Path

from gallerist.networks.runtime import configure
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    # With the stage open: TensorFlow takes seconds to load, and a kill may come then.
    device = configure(threads=snakemake.threads)
    from gallerist.data.preprocessing import Preprocessing
    from gallerist.networks.keras_encoder import import_keras

    settings, output = run.settings, snakemake.output
    source = settings["file"] or settings["preset"]
    size = import_keras(source, settings, output.model)
    run.made(output.model)
    run.made(output.exported[2])
    pictures = Preprocessing.of({**settings, "image_size": size}, **run.param("reading"))
    pictures.write(output.preprocessing)
    run.parameters(image_size=size, device=device)
    run.tag(weights=Path(source).name)
