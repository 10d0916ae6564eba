"""Rule import_onnx: an ONNX file -> the same encoder, of pixels, for OpenVINO."""

from pathlib import Path

from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    # Imported with the stage open, because a kill may come while they load.
    from gallerist.data.download import fetch
    from gallerist.data.preprocessing import Preprocessing
    from gallerist.io.errors import UserError
    from gallerist.io.files import sha256_of_file
    from gallerist.networks.onnx_encoder import MOST_BYTES, import_onnx

    settings, output, params = run.settings, snakemake.output, snakemake.params
    file, sha256 = settings["file"], settings["sha256"]
    if file is None:
        file = fetch(settings["address"], params.fetched, sha256=sha256, max_bytes=MOST_BYTES)
    elif sha256 not in (None, sha256_of_file(file)):
        raise UserError(f"{file} is not the file of SHA-256 {sha256} that the configuration names")
    used = import_onnx(file, settings, output.exported[2])
    run.made(output.exported[2])
    seen = {key: getattr(used, key) for key in ("image_size", "resizing", "crop_ratio")}
    pictures = Preprocessing.of({**settings, **seen}, **run.param("reading"))
    pictures.write(output.preprocessing)
    run.parameters(**seen, layout=used.layout, output=used.output, pooling=used.pooling)
    run.tag(weights=Path(file).name if settings["file"] else f"SHA-256 {sha256[:12]}")
