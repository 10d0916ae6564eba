"""A loss for retrieval through the whole workflow, on rows of frozen layers."""

import numpy as np
import pytest
from tiny_workflow import CONFIG, TRANSFER, Workflow

LOSS = {"name": "proxy_anchor", "projection": 12}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("losses") / "gallerist"
    evaluation = {**CONFIG["evaluation"], "explanations": ["similarity"]}
    experiments = {"net": {**TRANSFER, "loss": LOSS}}
    workflow = Workflow(folder, {**CONFIG, "experiments": experiments, "evaluation": evaluation})
    workflow.log_nothing()
    workflow.run()
    return workflow


@pytest.mark.slow
def test_a_loss_for_retrieval_trains_describes_and_is_drawn(workflow):
    history = workflow.rows("models/net/history.csv")
    assert [*history[0]] == [
        *("epoch", "loss", "val_map_at_r", "val_top1", "learning_rate", "epoch_seconds")
    ]
    assert len(history) == 2
    vectors = np.load(workflow.results / "features/net/gallery.npy")
    assert vectors.shape == (9, 12)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for picture in ("training_curves", "similarity"):
        assert (workflow.results / f"evaluation/net/{picture}.png").exists()


@pytest.mark.slow
def test_another_margin_trains_again_and_computes_no_row_again(workflow, tmp_path):
    edited = workflow.copy(tmp_path / "gallerist")
    edited.edit_config("experiments.net.loss.margin", 0.2)
    done = edited.dry_run()
    assert "train_network net" in done
    assert not [job for job in done if "trunk" in job or "split" in job]
