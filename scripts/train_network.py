"""Rule train_network: pictures, or the rows that their trunk made -> a trained network."""

from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    # Imported with the stage open: TensorFlow takes seconds to load, and a kill may come then.
    from gallerist.data.manifest import Manifest
    from gallerist.data.preprocessing import Preprocessing
    from gallerist.networks.architectures import architecture
    from gallerist.networks.runtime import configure
    from gallerist.networks.trunk import after_trunk, trunk_identity
    from gallerist.networks.weights import Weights
    from gallerist.settings.networks import read_network
    from gallerist.training import loop as training
    from gallerist.training.checkpoint import Checkpoint, identity_of
    from gallerist.training.data import TrainingData

    params, given, output = snakemake.params, snakemake.input, snakemake.output
    settings = run.settings_as(read_network)
    device = configure(threads=snakemake.threads, gpu_precision=params.gpu_precision)
    weights = Weights.read(given.weights) if given.weights else None
    originals, validation = Manifest.read(given.training), Manifest.read(given.validation)
    images = Manifest.read(given.training, *([given.augmented] if given.augmented else []))
    preprocessing = Preprocessing(settings.image_size, params.max_pixels, settings.look)
    origin = (weights.label, weights.file, weights.sha256) if weights else ("none", None, "none")
    used, file, weights_sha256 = origin
    network = architecture(settings).build(len(images.classes), file, settings.seed)
    data = TrainingData(images, validation, preprocessing, settings.batch_size, settings.seed)
    if given.rows:
        trained_part = after_trunk(network)  # shares its layers with the network
        batches = data.rows(trunk_identity(network), given.rows)
    else:
        trained_part, batches = network, data.pictures(snakemake.threads)
    identity = identity_of(run.settings, device, params.gpu_xla, weights_sha256, data.digest)
    checkpoint = Checkpoint(params.checkpoint, identity)
    how = {"checkpoint": checkpoint, "xla": params.gpu_xla, "report": run.curve_point}
    trained = training.train(trained_part, *batches, schedule=training.Schedule.of(settings), **how)
    training.save(network, output.model)
    run.made(output.model)
    preprocessing.write(output.preprocessing)
    trained.write_history(output.history)
    checkpoint.remove()
    for epoch, row in enumerate(trained.history[: trained.resumed_epochs], start=1):
        run.curve_point(epoch, row)  # trained before the job was stopped
    run.parameters(device=device, weights_used=used, classes=len(images.classes))
    run.tag(weights=used)
    run.metrics(
        images=len(originals),
        images_augmented=len(images) - len(originals),
        images_validation=len(validation),
        epochs_run=len(trained.history),
        epochs_resumed=trained.resumed_epochs,
        training_seconds=trained.seconds,
        images_per_second=trained.images_per_second,
        **training.parameter_counts(network),
        **(trained.history[-1] if trained.history else {}),
    )
    run.dataset("training", given.training, originals.digest, len(originals))
    run.dataset("validation", given.validation, validation.digest, len(validation))
    run.artifact(output.history)
