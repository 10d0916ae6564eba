"""Rule train_network: pictures, or the rows that their trunk made -> a trained network."""

from gallerist.networks.runtime import configure
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    # With the stage open: TensorFlow takes seconds to load, and a kill may come then.
    params, given, output = snakemake.params, snakemake.input, snakemake.output
    device = configure(threads=snakemake.threads, gpu_precision=params.gpu_precision)
    from gallerist.data.manifest import Manifest
    from gallerist.data.preprocessing import Preprocessing
    from gallerist.networks.architectures import architecture
    from gallerist.networks.trunk import Halves
    from gallerist.networks.trunk_rows import Trunk, TrunkRows
    from gallerist.networks.weights import Weights
    from gallerist.settings.networks import read_network
    from gallerist.training import loop as training
    from gallerist.training.batches import TrainingData
    from gallerist.training.checkpoint import Checkpoint, identity_of
    from gallerist.workflow.experiments import Experiment

    settings = run.settings_as(read_network)
    weights = Weights.read(given.weights) if given.weights else None
    originals, validation = Manifest.read(given.training), Manifest.read(given.validation)
    images = Manifest.read(given.training, *([given.augmented] if given.augmented else []))
    preprocessing = Preprocessing.of(run.settings, **run.param("reading"))
    how = settings.batch_size, settings.seed, settings.loss
    data = TrainingData(images, validation, preprocessing, *how)
    file = weights.file if weights else None
    network = architecture(settings).build(max(1, len(images.classes)), file, settings.seed)
    kept = Experiment.of("", run.settings).trunk  # without epochs, too: features come of its rows
    halves = Halves(network) if kept else None
    if halves and given.trunk:
        trained_part = halves.after_trunk()  # shares its layers with the network
        how = {"weights": file, "threads": snakemake.threads, "compute": run.param("compute")}
        rows = TrunkRows(Trunk(given.trunk[2], run.settings, preprocessing, **how), params.store)
        batches = data.rows(halves.identity, rows)
    else:
        trained_part, batches = network, data.pictures(snakemake.threads)
    used, digest = (weights.label, weights.sha256) if weights else ("none", "none")
    identity = identity_of(run.settings, device, params.gpu_xla, digest, data.digest)
    checkpoint = Checkpoint(params.checkpoint, identity)
    course = {"checkpoint": checkpoint, "xla": params.gpu_xla, "report": run.curve_point}
    trained = training.train(trained_part, *batches, settings=settings, **course)
    training.save(network, output.model, halves)
    run.made(output.model)
    run.made(output.exported[2])
    preprocessing.write(output.preprocessing)
    trained.write_history(output.history)
    checkpoint.remove()
    for epoch, row in enumerate(trained.history[: trained.resumed_epochs], start=1):
        run.curve_point(epoch, row)  # trained before the job was stopped
    run.parameters(device=device, weights_used=used, classes=len(images.classes))
    run.tag(weights=used)
    run.metrics(images=len(originals), images_augmented=len(images) - len(originals))
    run.metrics(images_validation=len(validation))
    run.metrics(trained.metrics() | training.count_parameters(network) | trained.last_epoch)
    run.dataset("training", given.training, originals.digest, len(originals))
    run.dataset("validation", given.validation, validation.digest, len(validation))
    run.artifact(output.history)
