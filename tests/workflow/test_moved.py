"""The folder of the workflow, results included, can be moved or copied to another place."""

from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
from edits import EVALUATE, the_ks_are_changed, the_tracking_store_is_deleted


@pytest.mark.slow
def test_a_moved_workflow_goes_on_in_its_new_place_and_leaves_the_old_one_alone(
    finished_workflow, tmp_path
):
    # Finished where the store says it is: first a run there, then the move.
    workflow = finished_workflow.copy(tmp_path / "before")
    the_tracking_store_is_deleted(workflow)
    the_ks_are_changed(workflow)
    assert workflow.rerun() == EVALUATE

    workflow.folder = workflow.folder.rename(tmp_path / "after")
    workflow.edit_config("evaluation.k", [1])
    assert workflow.rerun() == EVALUATE
    assert not (tmp_path / "before").exists()
    for row in workflow.tracked_runs("tiny"):
        shown = Path(url2pathname(urlparse(row.info.artifact_uri).path))
        assert shown.is_relative_to(workflow.folder)
        assert (shown / "pictures/worst.png").is_file()
