"""Rule fit_reduction: vectors of the training pictures -> the reduction fitted on them."""

import numpy as np

from gallerist.data.decoding import read_image
from gallerist.data.manifest import Manifest
from gallerist.features.reduction import DOMAIN_CENTRING, centre_domains, fit
from gallerist.features.store import Features
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    settings = run.settings
    training = Features.read(*snakemake.input.training)
    with run.timed("fit_seconds"):
        method, dimensions, seed = (settings[name] for name in ("method", "dimensions", "seed"))
        if method == DOMAIN_CENTRING:
            # Here, because it loads scikit-image, which other reductions need not wait for.
            from gallerist.data.line_drawings import is_sketch

            picture = Manifest.read(snakemake.input.pictures).by_id()
            reading = run.param("reading")
            paths = (picture[each].path for each in training.ids)
            drawn = [is_sketch(read_image(path, **reading)) for path in paths]
            reduction = centre_domains(training.vectors, np.array(drawn))
            run.metrics(sketches=sum(drawn))
        else:
            reduction = fit(method, dimensions, training.vectors, seed)
        reduction.write(snakemake.output.reduction)
    run.parameters(settings)
    run.metrics(images=len(training.ids), feature_length=reduction.length)
