"""What the environment decides of a run: settings, and nothing that changes or breaks a result."""

import json
import os
import subprocess
import sys

import pytest
from checkout import CHECKOUT, SCRIPTS

from gallerist.io.environment import KERAS_CACHE, REMOVED, settle

SETTLE = (
    "from gallerist.io.environment import settle; from pathlib import Path; "
    f"settle(Path({str(SCRIPTS)!r}));"
)


def settled(**given):
    environment = dict(given)
    path = list(sys.path)
    try:
        settle(SCRIPTS, environment)
    finally:
        sys.path[:] = path
    return environment


def python(program, **variables):
    """What a program prints that begins as the workflow and the commands do."""
    kept = {name: text for name, text in os.environ.items() if name != KERAS_CACHE}
    began = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); {SETTLE}"
    done = subprocess.run(
        [sys.executable, "-c", f"{began}\n{program}"],
        env={**kept, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_what_is_a_setting_stays():
    given = {
        "MLFLOW_TRACKING_URI": "http://there:5000",
        "MLFLOW_TRACKING_TOKEN": "t",
        "HTTPS_PROXY": "http://proxy",
        "CUDA_VISIBLE_DEVICES": "1",
        "OMP_NUM_THREADS": "3",
        "TMPDIR": "/scratch",
        "XDG_CACHE_HOME": "/cache",
    }
    assert given.items() <= settled(**given).items()


def test_what_is_somebody_elses_is_gone():
    found = settled(**dict.fromkeys(REMOVED, "theirs"))
    assert not found.keys() & set(REMOVED)


@pytest.mark.parametrize("theirs", ["TkAgg", "module://matplotlib_inline.backend_inline", "none"])
def test_figures_are_drawn_whatever_backend_a_shell_names(theirs, tmp_path):
    program = (
        "import matplotlib.pyplot as plt; import matplotlib; plt.plot([1, 2]);"
        f"plt.savefig({str(tmp_path / 'a.png')!r}); print(matplotlib.get_backend())"
    )
    assert python(program, MPLBACKEND=theirs).lower() == "agg"


def test_a_matplotlibrc_of_the_users_changes_no_figure(tmp_path):
    (tmp_path / "matplotlibrc").write_text("font.size: 40\naxes.facecolor: red\n")
    program = (
        "from gallerist.figures.style import save; from matplotlib.figure import Figure\n"
        "figure = Figure(); figure.add_subplot().set_title('a'); save(figure, {0!r})"
    )
    plain, other = tmp_path / "plain.png", tmp_path / "other.png"
    python(program.format(str(plain)), MPLCONFIGDIR=str(tmp_path / "none"))
    python(program.format(str(other)), MPLCONFIGDIR=str(tmp_path))
    assert plain.read_bytes() == other.read_bytes()


def test_keras_has_its_own_settings_whatever_a_home_or_a_variable_says(tmp_path):
    theirs = {"floatx": "float16", "backend": "jax", "image_data_format": "channels_first"}
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras/keras.json").write_text(json.dumps({**theirs, "epsilon": 0.1}))
    program = (
        "import keras; print(keras.backend.backend(), keras.config.floatx(),"
        "keras.config.image_data_format(), keras.config.epsilon())"
    )
    expected = "tensorflow float32 channels_last 1e-07"
    assert python(program, HOME=str(tmp_path), KERAS_BACKEND="jax") == expected
    assert python(program, KERAS_HOME=str(tmp_path / ".keras")) == expected


def test_downloaded_weights_are_looked_for_where_the_users_keras_has_them(tmp_path):
    program = "from gallerist.networks.weights import _cache; print(_cache())"
    assert python(program, KERAS_HOME=str(tmp_path)) == str(tmp_path / "models")
    again = f"{SETTLE} {program}"
    assert python(again, KERAS_HOME=str(tmp_path)) == str(tmp_path / "models")
    home = dict(os.environ, HOME=str(tmp_path))
    home.pop("KERAS_HOME", None)
    assert settled(**home)[KERAS_CACHE] == "~/.keras"


def foreign(folder):
    """A folder with another package of this name, which must not be imported."""
    package = folder / "gallerist"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('a foreign gallerist')\n")
    return str(folder)


def test_processes_take_the_library_that_they_were_told_to_before_any_other(tmp_path):
    theirs = foreign(tmp_path)
    program = (
        "import os, subprocess, gallerist; print(gallerist.LIBRARY, flush=True);"
        "subprocess.run([sys.executable, '-c', 'import gallerist; print(gallerist.LIBRARY)']);"
        "print(os.environ['PYTHONPATH'])"
    )
    ours = str(SCRIPTS / "gallerist")
    assert python(program, PYTHONPATH=theirs).split("\n") == [
        *(ours, ours),
        os.pathsep.join([str(SCRIPTS), theirs]),
    ]


def test_the_command_is_that_of_its_checkout(tmp_path):
    command = CHECKOUT / ".venv/bin/gallerist"
    if not command.is_file():
        pytest.skip("this checkout has no environment of its own")
    done = subprocess.run(
        [command, "--version"],
        env={**os.environ, "PYTHONPATH": foreign(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("gallerist ")
