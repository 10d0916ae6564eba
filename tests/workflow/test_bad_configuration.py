"""A configuration that cannot be run is refused before any job, in one line for each mistake."""

import pytest
from tiny_workflow import CONFIG, Workflow, jobs_of


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A workflow that has not run; every test writes a configuration of its own."""
    return Workflow(tmp_path_factory.mktemp("bad") / "gallerist")


@pytest.fixture
def workflow(untouched):
    untouched.write_config(CONFIG)
    return untouched


def refusal(workflow, *arguments):
    """What snakemake prints when it refuses."""
    result = workflow.run(*arguments, check=False)
    assert result.returncode != 0
    assert jobs_of(result) == set()
    assert "Traceback" not in result.stdout
    assert ".smk" not in result.stdout
    assert not (workflow.folder / "results").exists()
    return result.stdout.splitlines()


def test_an_unknown_key(workflow):
    workflow.edit_config("evaluation.kk", [1])
    assert (
        "config/config.yaml: evaluation.kk: unknown key. Did you mean k? "
        "Known: k, metrics, decided_by, confidence, bootstrap_rounds, seed, answers_drawn, "
        "queries_drawn, explanations, strips_drawn."
    ) in refusal(workflow, "--dry-run")


def test_a_misspelt_backbone(workflow):
    workflow.edit_config("experiments.resnet", {"network": "transfer", "backbone": "ResNet125"})
    (line,) = [line for line in refusal(workflow, "--dry-run") if "resnet" in line]
    assert line.startswith(
        "config/config.yaml: experiments.resnet.backbone: 'ResNet125' is not a backbone. "
        "Did you mean ResNet152? Known: "
    )


def test_a_name_that_would_lead_to_another_folder(workflow):
    workflow.edit_config("experiments", {"../elsewhere": CONFIG["experiments"]["short"]})
    (line,) = [line for line in refusal(workflow, "--dry-run") if "elsewhere" in line]
    assert line.startswith("config/config.yaml: experiments.'../elsewhere': not a possible name. ")


def test_shares_that_do_not_add_up(workflow):
    shares = {"validation": 0.2, "training": 0.5, "gallery": 0.2, "query": 0.2}
    workflow.edit_config("dataset.layout", "classes")
    workflow.edit_config("dataset.split", shares)
    assert (
        "config/config.yaml: dataset.split: validation, training, gallery, query "
        "must add up to 1, but 0.2 + 0.5 + 0.2 + 0.2 = 1.1."
    ) in refusal(workflow, "--dry-run")


def test_a_folder_that_is_not_there(workflow):
    workflow.edit_config("dataset.folder", "no/such/folder")
    assert (
        "config/config.yaml: dataset.folder: 'no/such/folder' is no folder. "
        "A relative path starts where the workflow runs."
    ) in refusal(workflow, "--dry-run")


def test_all_mistakes_are_reported_at_once_and_no_job_starts(workflow):
    workflow.edit_config("search.depth", 0)
    workflow.edit_config("experiments.short.epochs", "many")
    lines = [line for line in refusal(workflow) if line.startswith("config/config.yaml: ")]
    assert [line.split(": ")[1] for line in lines] == ["experiments.short.epochs", "search.depth"]


def test_a_configuration_of_another_name_is_named_in_the_message(workflow):
    workflow.edit_config("search.dept", 5)
    mine = workflow.config_file.rename(workflow.folder / "mine.yaml")
    workflow.write_config(CONFIG)
    lines = refusal(workflow, "--dry-run", "--configfile", "mine.yaml")
    assert f"{mine}: search.dept: unknown key. Did you mean depth? Known: depth." in lines
