"""A configuration that cannot be run is refused before any job, in one line for each mistake."""

import shutil

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
        "Known: protocol, folds, k, metrics, decided_by, confidence, bootstrap_rounds, seed, "
        "abstaining, answers_drawn, queries_drawn, explanations, strips_drawn."
    ) in refusal(workflow, "--dry-run")


def test_a_key_that_is_written_twice(workflow):
    text = workflow.config_file.read_text(encoding="utf-8")
    workflow.config_file.write_text(f"{text}search: {{depth: 8}}\n", encoding="utf-8")
    (line,) = [line for line in refusal(workflow, "--dry-run") if "twice" in line]
    assert line.startswith("search is written twice, in lines ")
    assert line.endswith("config/config.yaml: keep one")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"dataset: {name: m\xfcde}", ", line 1: byte 0xfc is not UTF-8: save the file as UTF-8"),
        (b"dataset: [1\n\tb: 2", " is not YAML: "),
        (b"", " is empty. "),
    ],
)
@pytest.mark.parametrize("arguments", [["--dry-run"], []])
def test_a_file_that_snakemake_cannot_read_is_named(workflow, content, said, arguments):
    (workflow.folder / "other.yaml").write_bytes(content)
    (line,) = refusal(workflow, *arguments, "--configfile", "other.yaml")[1:]
    assert "other.yaml" in line
    assert said in line


def test_braces_in_texts_are_planned_as_they_are(workflow):
    workflow.edit_config("evaluation.queries_drawn", ["{x}.png", "{experiment}.png"])
    workflow.edit_config("challenge", {"embedded": {}, "group": "{team}", "k": 5})
    workflow.edit_config("registry.experiments", ["best"])
    workflow.edit_config("experiments.none", {"descriptor": "hog"})  # a name as any other
    workflow.edit_config("tracking.uri", "sqlite:///{runs}.db")
    assert "register_models" in workflow.dry_run()
    archive = {"location": "http://127.0.0.1:9/{x}.zip", "sha256": "a" * 64}
    workflow.edit_config("dataset", {"name": "tiny", "archive": archive})
    assert "fetch_archive" in workflow.dry_run()
    shutil.rmtree(workflow.folder / "results")  # what planning has noted of the pictures


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
