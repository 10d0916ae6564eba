"""gallerist explain, typed where there is no configuration."""

import os
import re

import numpy as np
import pytest
import revisited
from checkout import SHARED

from gallerist.challenge.answer_file import write_answers
from gallerist.challenge.key_fault import chance, grade_with_key_fault, random_answers
from gallerist.challenge.truth import Truth
from gallerist.commands.main import main
from gallerist.evaluation.bootstrap import IntervalSettings

CHALLENGE = SHARED / "data/challenge/ground_truth.json"


def printed(capsys, *arguments):
    assert main(["explain", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def section(text, beginning):
    """The lines of the part that begins so, without it."""
    part = next(part for part in text.split("\n\n") if part.startswith(beginning))
    return part.splitlines()[1:]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two queries of classes, of which one is its own first answer; and claims."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ranking.csv").write_text(
        "query_id,rank,gallery_id\np,1,a\np,2,b\np,3,c\na,1,a\na,2,b\na,3,c\n"
    )
    (tmp_path / "truth.csv").write_text(
        "id,label,part\np,ant,query\na,ant,query\na,ant,gallery\nb,bee,gallery\nc,ant,gallery\n"
    )
    (tmp_path / "claims.csv").write_text("claimed,k,metric\n1.00,1,hit rate\n83.33,,map\n")
    return tmp_path


@pytest.fixture(scope="module")
def challenge():
    """The challenge's truth, and a random ranking of ten answers."""
    if not CHALLENGE.is_file():
        pytest.skip("the challenge's ground truth is not here")
    truth = Truth.read(CHALLENGE)
    return truth, random_answers(truth, 10, 99)


def test_the_key_fault_is_found_from_the_figure_of_a_random_ranking(tmp_path, challenge, capsys):
    truth, answers = challenge
    write_answers(tmp_path / "random.json", "group", answers)
    graded, _ = grade_with_key_fault(answers, truth, IntervalSettings(99, 1000))
    for k in (1, 5, 10):
        figure = f"{graded[f'hit rate@{k}'].mean:.4f}"
        text = printed(capsys, tmp_path / "random.json", CHALLENGE, "--claimed", figure, "--k", k)
        claim, head, first, *_ = section(text, "claimed")
        assert claim.startswith("given by")
        assert head.startswith("figure")
        fault = "keys: gallery, by name, distractors: match each other"
        assert re.fullmatch(rf"{figure} +[+-]0.0000 +hit rate@{k} +no +{fault}", first)


def test_the_published_figure_is_possible_for_a_random_ranking(tmp_path, challenge, capsys):
    truth, answers = challenge
    write_answers(tmp_path / "random.json", "group", answers)
    text = printed(capsys, tmp_path / "random.json", CHALLENGE, "--claimed", "0.677", "--k", "1")
    lines = section(text, "claimed")
    row = lines[lines.index(next(line for line in lines if line.startswith("possible"))) + 2]
    mean, deviation = re.match(r"(0\.\d+) \((0\.\d+)\)", row).groups()
    _, expected = grade_with_key_fault(answers, truth, IntervalSettings(99, 1000))
    assert float(mean) == pytest.approx(expected["hit rate@1"].mean, abs=5e-5)
    # The deviation over orders of the gallery, by drawing such.
    generator = np.random.default_rng(3)
    labels = np.array([truth.gallery[name] for name in sorted(truth.gallery)])
    first = np.array([truth.gallery[answers[query][0]] for query in sorted(answers)])
    drawn = [(generator.permutation(labels)[: len(first)] == first).mean() for _ in range(1000)]
    assert float(deviation) == pytest.approx(np.std(drawn), rel=0.1)
    assert np.mean(drawn) == pytest.approx(chance(truth, 1)[2].mean, abs=0.02)


@pytest.mark.slow
def test_a_benchmarks_protocol_is_named_from_files(tmp_path, capsys):
    revisited.seeded_ranking("roxford5k", "good").write(tmp_path / "ranking.csv")
    figures = revisited.expected("roxford5k", "good")
    truth = revisited.FOLDER / "roxford5k.json"
    rows = [f"{100 * figures[setup]['mAP']:.2f},,mAP" for setup in figures]
    rows += [f"{figures[setup]['mP@10']:.4f},10,precision" for setup in figures]
    (tmp_path / "claims.csv").write_text("\n".join(["claimed,k,metric", *rows]))
    text = printed(capsys, tmp_path / "ranking.csv", truth, "--claims", tmp_path / "claims.csv")
    for row, setup, wanted in zip(
        rows,
        [*figures] * 2,
        ["integration: trapezoids"] * 3 + [r"divisor: min\(k, last right rank\)"] * 3,
        strict=True,
    ):
        first = section(text, f"claimed {row.split(',')[0]}")[2]
        assert re.search(rf"\({setup}\) +yes +{wanted}$", first)
    assert section(text, "all claims at once") == ["  the default"]


def test_the_own_file_left_in_is_what_all_claims_share(here, capsys):
    text = printed(capsys, "ranking.csv", "truth.csv", "--claims", "claims.csv")
    assert "2 queries with 3 answers each; 3 pictures" in text
    # Of p: 1 and 2/3; of a with itself the same, without itself 1/2.
    assert section(text, "all claims at once") == ["  own: in"]


def test_every_single_choice_is_shown_with_what_it_moves_and_why(here, capsys):
    text = printed(capsys, "ranking.csv", "truth.csv", "--claimed", "83.33", "--metric", "mAP")
    default = ((1 + 2 / 3) / 2 + 1 / 2) / 2
    lines = section(text, f"mAP by the default: {default:.4f}")
    row = next(line for line in lines if "own: in" in line)
    moved = (1 + 2 / 3) / 2 - default
    wanted = rf"0.8333 +{moved:+.4f} +yes +no +own: in +every query finds its own file first.*"
    assert re.fullmatch(wanted.replace("+0", r"\+0"), row)
    assert "unanswerable: count as 0" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--claimed", "7 of 10"], 1, "'7 of 10' is no figure of a metric"),
        (["--claimed", "0.5", "--metric", "mAP@10"], 1, "give k apart. Known: hit rate, precision"),
        (["--claimed", "0.512", "--k", "0"], 1, "k is 0; it is at least 1"),
        (["--claims", "odd.csv"], 1, "odd.csv, line 3: 'top' is no metric"),
        (["--claims", "empty.csv"], 1, "empty.csv has no claim below its header"),
        (["--claims", "other.csv"], 1, "other.csv: its first line names no column claimed"),
        ([], 2, "give either --claimed or --claims"),
        (["--claimed", "0.5", "--claims", "claims.csv"], 2, "give either"),
        (["--claims", "claims.csv", "--k", "1"], 2, "columns of the file"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(here, capsys, arguments, status, said):
    (here / "odd.csv").write_text("claimed,metric\n0.677,mAP\n0.677,top\n")
    (here / "empty.csv").write_text("claimed\n")
    (here / "other.csv").write_text("figure,k\n0.677,1\n")
    try:
        found = main(["explain", "ranking.csv", "truth.csv", *arguments])
    except SystemExit as ended:
        found = ended.code
    assert found == status
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no answer file"),
        ("[]", "no answers under the key images"),
        ('{"images": {"p": "a"}}', "the answers to p are no list of file names"),
        ('{"images": {"p": ["a", "a"]}}', "p has a a second time"),
        ('{"images": {"x": ["a"]}}', "answers.json: the truth has no class of 1 queries: x"),
    ],
)
def test_a_fault_of_an_answer_file_is_said_with_its_name(here, capsys, content, said):
    (here / "answers.json").write_text(content)
    assert main(["explain", "answers.json", "truth.csv", "--claimed", "0.512"]) == 1
    told = capsys.readouterr().err
    assert "answers.json" in told
    assert said in told


@pytest.mark.timeout(30)
def test_a_truth_as_json_that_is_a_pipe_is_refused(here, capsys):
    """It would be read twice: the second time there is nothing, and nobody writes."""
    os.mkfifo(here / "truth.json")
    assert main(["explain", "ranking.csv", "truth.json", "--claimed", "0.512"]) == 1
    assert "truth.json is no file" in capsys.readouterr().err
