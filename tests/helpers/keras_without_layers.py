"""What the networks of keras.applications ask for while they are built, without any layer.

Their layers are replaced by stand-ins, so that a network of a thousand layers takes no time.
"""

import importlib
import inspect
import pkgutil
import sys
from dataclasses import dataclass, field

import keras
from keras.src import applications
from keras.src.applications import imagenet_utils
from keras.src.utils import file_utils

NETWORKS = {
    name: network
    for name, network in vars(keras.applications).items()
    if inspect.isfunction(network)
}
"""Every function that builds a classification network: name -> function."""


class _Tensor:
    """As much of a symbolic tensor as the networks look at."""

    shape = (None, 8, 8, 64)

    def __add__(self, other):
        return self

    __radd__ = __mul__ = __rmul__ = __add__


class _NoLayers:
    """Takes the place of keras.layers; notes the name and the arguments of each layer."""

    def __init__(self, made):
        self._made = made

    def __getattr__(self, name):
        def make(*args, **settings):
            if name == "Input" or name.islower():  # which give tensors: Input, add, concatenate
                return _Tensor()
            self._made.append((name, args, settings))
            return lambda *tensors, **more: _Tensor()

        return make


class _NoNetwork:
    def __init__(self, *args, **settings):
        pass

    def load_weights(self, file):
        assert file == "downloaded"


@dataclass
class Asked:
    """Kind, arguments, settings of each layer; what obtain_input_shape and get_file were given."""

    layers: list = field(default_factory=list)
    sizes: dict = field(default_factory=dict)
    file: tuple = ()


def ask(name, monkeypatch, **settings):
    """Call one network's function and return what it asked for."""
    asked = Asked()
    no_layers = _NoLayers(asked.layers)
    stand_ins = {
        "layers": no_layers,
        "Functional": _NoNetwork,
        "Sequential": no_layers.Sequential,
        "LayerScale": no_layers.LayerScale,  # ConvNeXt's
        "StochasticDepth": no_layers.StochasticDepth,
        "CustomScaleLayer": no_layers.CustomScaleLayer,  # InceptionResNetV2's
    }
    obtain_input_shape = imagenet_utils.obtain_input_shape

    def obtain(input_shape, **sizes):
        asked.sizes.update(sizes)
        return obtain_input_shape(input_shape, **sizes)

    def get_file(fname, origin, file_hash=None, **_):
        asked.file = (fname, origin, file_hash)
        return "downloaded"

    with monkeypatch.context() as patched:
        patched.setattr(imagenet_utils, "obtain_input_shape", obtain)
        patched.setattr(file_utils, "get_file", get_file)
        for module in _modules():
            for word, stand_in in stand_ins.items():
                if hasattr(module, word):
                    patched.setattr(module, word, stand_in)
        NETWORKS[name](include_top=False, **settings)
    return asked


def _modules():
    for found in pkgutil.iter_modules(applications.__path__):
        if not found.name.endswith("_test"):
            yield importlib.import_module(f"{applications.__name__}.{found.name}")


def preprocess_input(name):
    """The function beside the network that prepares pixels for it."""
    return sys.modules[NETWORKS[name].__module__].preprocess_input
