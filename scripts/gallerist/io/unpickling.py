"""Pickles inside installed packages, read without trusting them.

Two packages that Gallerist reads carry their content as pickles. A pickle is a small program: it
may name any function of any installed module and have it called. Here only functions on a list that
the caller gives can be reached: a file that asks for anything else is refused before that is run.
"""

import importlib.metadata
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from gallerist.io.errors import UserError

Allowed = Mapping[tuple[str, str], Any]
"""What a pickle may name: (module, name) as written in it -> the object it gets."""


def restricted_load(
    file: IO[bytes],
    allowed: Allowed,
    *,
    persistent_load: Callable[[Any], Any] | None = None,
) -> Any:
    """Read one pickle from `file`, letting it name only what is in `allowed`.

    The file is left just behind the pickle, so that several in a row can be read.
    persistent_load: turns a persistent id (an object kept outside of the pickle) into the object;
    without it, a pickle with such ids is refused. It, and what is in `allowed`, may raise
    UserError with a reason.
    Raises UserError naming the file and the forbidden object, or what is damaged.
    """
    source = str(getattr(file, "name", "a pickle"))
    try:
        return _RestrictedUnpickler(file, allowed, persistent_load).load()
    except UserError as refusal:
        raise UserError(f"{source}: {refusal}") from None
    except Exception as error:  # a damaged pickle can fail in any way
        reason = str(error) or type(error).__name__
        raise UserError(f"{source}: not a readable pickle: {reason}") from error


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(
        self,
        file: IO[bytes],
        allowed: Allowed,
        load_persistent: Callable[[Any], Any] | None,
    ) -> None:
        super().__init__(file)
        self._allowed, self._load_persistent = allowed, load_persistent

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            known = ", ".join(sorted(".".join(pair) for pair in self._allowed))
            raise UserError(
                f"the pickle asks for {module}.{name}, which it may not have. "
                f"Allowed: {known or 'nothing'}. The file is not the one Gallerist was made for; "
                "install the package again from a source you trust."
            )
        return self._allowed[module, name]

    def persistent_load(self, pid: Any) -> Any:
        if self._load_persistent is None:
            raise UserError(f"the pickle refers to an object outside of it: {pid!r:.80}")
        return self._load_persistent(pid)


def _latin1(text: str, encoding: str) -> bytes:
    """What protocols 0 to 2 call to make bytes of text; only with the encoding that they use."""
    if encoding != "latin1":
        raise UserError(f"the pickle asks for the encoding {encoding!r}, allowed is latin1")
    return text.encode("latin1")


def _empty() -> bytes:
    """What protocols 0 to 2 call to make no bytes at all."""
    return b""


# numpy's own functions for rebuilding arrays are private and moved between 1.x and 2.x:
# an array says itself which they are.
_reconstruct = np.zeros(1).__reduce__()[0]
_frombuffer = np.zeros(1).__reduce_ex__(5)[0]

NUMPY_ARRAYS: Allowed = {
    ("__builtin__", "bytes"): _empty,
    ("_codecs", "encode"): _latin1,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
}
"""All that a pickled array of numbers needs, as numpy 1.x and 2.x write it in protocols 0 to 5."""


def packaged_file(distribution: str, path: str) -> Path:
    """Path of a file inside an installed package, found without importing the package.

    distribution: name on the package index; path: below the folder that packages are installed in.
    Raises UserError saying what to install.
    """
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"the package {distribution} is not installed. Install what envs/ lists, or it alone: "
            f"pip install {distribution}"
        ) from None
    file = Path(str(found.locate_file(path)))
    if not file.is_file():
        raise UserError(
            f"{file} does not exist: version {found.version} of the package {distribution} is not "
            "one that Gallerist reads, or is damaged. Install the version that envs/ pins."
        )
    return file
