"""Rule draw_challenge: the embedded challenge -> flat folders of image files, and the truth."""

import shutil
from pathlib import Path

from gallerist.challenge.drawing import TRUTH_FILE, draw_challenge
from gallerist.io.files import replacing
from gallerist.settings.challenge import EmbeddedChallenge
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    folder = Path(snakemake.output.folder)
    drawn = draw_challenge(folder, run.settings_as(EmbeddedChallenge))
    with replacing(snakemake.output.truth) as temporary:
        shutil.copyfile(folder / TRUTH_FILE, temporary)
    run.metrics(**{f"{part}_images": count for part, count in drawn.items()})
