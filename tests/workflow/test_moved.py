"""The folder of the workflow, results included, can be moved or copied to another place."""

import os

import pytest
from edits import EVALUATE, the_ks_are_changed


@pytest.mark.slow
def test_a_moved_workflow_goes_on_in_its_new_place_and_leaves_the_old_one_alone(
    finished_workflow, tmp_path
):
    # Finished where the store says it is: first a run there, then the move.
    workflow = finished_workflow.copy(tmp_path / "before")
    workflow.remove_tracking_store()
    the_ks_are_changed(workflow)
    assert workflow.rerun() == EVALUATE

    os.rename(workflow.folder, tmp_path / "after")  # noqa: PTH104
    workflow.folder = tmp_path / "after"
    workflow.edit_config("evaluation.k", [1])
    assert workflow.rerun() == EVALUATE
    assert not (tmp_path / "before").exists()
    client = workflow.tracking()
    for row in workflow.tracked_runs("tiny", "tags.current = 'true'"):
        shown = client.download_artifacts(row.info.run_id, "pictures")
        assert os.path.realpath(shown).startswith(os.path.realpath(workflow.folder))  # noqa: PTH
