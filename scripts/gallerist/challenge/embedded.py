"""What comes with Gallerist, drawn to files: the data set, or the challenge and its truth."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from gallerist.challenge.drawing import TRUTH_FILE, draw_challenge
from gallerist.data.silhouettes import draw_tree
from gallerist.io.files import PathLike, replacing
from gallerist.settings.challenge import EmbeddedChallenge
from gallerist.settings.dataset import EmbeddedPictures
from gallerist.workflow.run import Run


def draw_source(run: Run, output: Mapping[str, PathLike]) -> None:
    """Draw what a run's settings say to an output's "folder"; a challenge has a "truth" too."""
    folder = Path(output["folder"])
    if "truth" in output:
        drawn = draw_challenge(folder, run.settings_as(EmbeddedChallenge))
        with replacing(output["truth"]) as temporary:
            shutil.copyfile(folder / TRUTH_FILE, temporary)
    else:
        drawn = draw_tree(folder, run.settings_as(EmbeddedPictures))
    run.metrics(**{f"{part}_drawn": count for part, count in drawn.items()})
