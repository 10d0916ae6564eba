"""TensorFlow and Keras as jobs load them."""

import json
import os
import subprocess
import sys

from checkout import SCRIPTS

from gallerist.networks.runtime import NOT_FOR_KERAS

PROGRAM = """
import json, sys
from gallerist.networks.runtime import configure
device = configure(threads=1)
loaded = sorted(sys.modules)
import matplotlib.pyplot, pandas, sklearn.base
import gallerist.training.loop
print(json.dumps([device, loaded]))
"""


def test_keras_is_loaded_without_the_packages_that_nobody_uses_with_it():
    """They can be imported afterwards, and what trains a network can be as well."""
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    device, loaded = json.loads(done.stdout)
    assert device == "CPU, 1 thread"
    assert {"keras", "tensorflow"} <= set(loaded)
    assert not {name.partition(".")[0] for name in loaded} & set(NOT_FOR_KERAS)
