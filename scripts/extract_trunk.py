"""Rule extract_trunk: pictures to learn from -> what a backbone's frozen layers make of them."""

import logging

from gallerist.records.made import verify_output
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    # Imported with the stage open, because a kill may come while they load.
    from gallerist.data.manifest import Manifest
    from gallerist.data.preprocessing import Preprocessing
    from gallerist.networks.inference import prepare
    from gallerist.networks.trunk_rows import Trunk, TrunkRows
    from gallerist.networks.weights import Weights

    given, params, threads = snakemake.input, snakemake.params, snakemake.threads
    compute, weights = run.param("compute"), Weights.read(given.weights)
    verify_output(given.exported[2], given.export)
    device = prepare(
        engine=compute["engine"], threads=threads, gpu_precision=compute["gpu_precision"]
    )
    pictures = Preprocessing.of(run.settings, **run.param("reading"))
    how = {"weights": weights.file, "threads": threads, "compute": compute}
    rows = TrunkRows(Trunk(given.exported[2], run.settings, pictures, **how), params.store)
    facts = rows.trunk.exported.facts
    logging.getLogger("gallerist").info("kept of each picture: %s", facts["cut"])
    parts = {part: Manifest.read(given[part]) for part in run.param("parts")}
    rows.fill(*parts.values())
    rows.store.merge()
    run.parameters(device=device, cut=facts["cut"], weights_used=weights.label)
    run.parameters(engine=rows.trunk.engine_name)
    run.metrics(rows.metrics(parts))
    run.metrics(share_of_multiply_adds=facts["share_of_multiply_adds"])
    run.tag(store=rows.store.folder)
    for part, images in parts.items():
        run.dataset(part, given[part], images.digest, len(images))
