"""Rule import_keras: a .keras file -> an encoder of pixels, for OpenVINO too; its preprocessing."""

from pathlib import Path

from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    # Imported with the stage open: TensorFlow takes seconds to load, and a kill may come then.
    from gallerist.data.preprocessing import Preprocessing
    from gallerist.networks.keras_encoder import import_keras
    from gallerist.networks.runtime import configure

    settings, output = run.settings, snakemake.output
    device = configure(threads=snakemake.threads)
    size = import_keras(settings["file"], settings, output.model)
    run.made(output.model)
    run.made(output.exported[2])
    pictures = Preprocessing.of({**settings, "image_size": size}, **run.param("reading"))
    pictures.write(output.preprocessing)
    run.parameters(image_size=size, device=device)
    run.tag(weights=Path(settings["file"]).name)
