"""Rule train_network: training pictures -> a trained network and its history."""

import json

from gallerist.stage import stage

with stage(snakemake) as run:
    # Imported with the stage open: TensorFlow takes seconds to load, and a kill may come then.
    from gallerist import training
    from gallerist.manifest import Manifest
    from gallerist.network import architecture
    from gallerist.preprocessing import Preprocessing
    from gallerist.runtime import configure
    from gallerist.weights import Weights

    settings = json.loads(snakemake.params.settings)
    run.parameters(device=configure(threads=snakemake.threads, seed=settings["seed"]))
    given = [Weights.read(path) for path in [snakemake.input.weights] if path]
    originals = Manifest.read(snakemake.input.training)
    copies = [path for path in [snakemake.input.augmented] if path]
    images = Manifest.read(snakemake.input.training, *copies)
    held_out = Manifest.read(snakemake.input.validation)

    network = architecture(settings).build(len(images.classes), given[0].file if given else None)
    preprocessing = Preprocessing(settings["image_size"], snakemake.params.max_pixels)
    trained = training.train(
        network,
        images,
        held_out,
        preprocessing=preprocessing,
        schedule=training.Schedule.of(settings),
        threads=snakemake.threads,
        report=run.curve_point,
    )
    training.save(network, snakemake.output.model)
    preprocessing.write(snakemake.output.preprocessing)
    trained.write_history(snakemake.output.history)

    used = given[0].label if given else "none"
    run.parameters(weights_used=used, classes=len(images.classes))
    run.tag(weights=used)
    run.metrics(
        images=len(originals),
        images_augmented=len(images) - len(originals),
        images_validation=len(held_out),
        epochs_run=len(trained.history),
        training_seconds=trained.seconds,
        images_per_second=trained.images_per_second,
        **training.parameter_counts(network),
        **(trained.history[-1] if trained.history else {}),
    )
    run.dataset("training", snakemake.input.training, originals.digest, len(originals))
    run.dataset("validation", snakemake.input.validation, held_out.digest, len(held_out))
    run.artifact(snakemake.output.history)
