"""Rule take_vectors: vectors that somebody else made -> those of the pictures of all parts."""

from gallerist.data.manifest import Manifest
from gallerist.features.extraction import extract_parts
from gallerist.features.given import GivenVectors
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, params = snakemake.input, snakemake.params
    manifests = {part: given[part] for part in run.param("parts")}
    pictures = {part: Manifest.read(path) for part, path in manifests.items()}
    extractor = GivenVectors(given.vectors, given.ids, pictures, params.folder)
    extract_parts(run, extractor, manifests, dict(snakemake.output.items()), params.store)
