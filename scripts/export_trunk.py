"""Rule export_trunk: a backbone's frozen layers -> the same for OpenVINO, which needs no Keras."""

from gallerist.networks.runtime import configure
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    # With the stage open: TensorFlow takes seconds to load, and a kill may come then.
    device = configure(threads=snakemake.threads)
    from gallerist.networks.export import export
    from gallerist.networks.trunk import load_trunk
    from gallerist.networks.weights import Weights

    description = snakemake.output.exported[2]
    weights = Weights.read(snakemake.input.weights)
    trunk, described = load_trunk(run.settings, weights.file)
    export(description, {("pixels",): trunk}, sizes="fixed", **described)
    run.made(description)
    run.parameters(device=device, weights_used=weights.label)
