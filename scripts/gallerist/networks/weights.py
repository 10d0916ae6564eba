"""Pretrained weights: found once, checked, and named when they cannot be had."""

import hashlib
import logging
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, read_json, replacing, sha256_of_file, write_json
from gallerist.io.http import reason_of, session
from gallerist.networks import lite2_weights
from gallerist.networks.backbones import BACKBONES, PUBLISHED, Published

logger = logging.getLogger("gallerist")

_LONGEST = 4 << 30
"""Bytes of a file of weights; the largest have 1.4 GB."""


@dataclass(frozen=True)
class Weights:
    """The weights a backbone starts from.

    backbone: its name. requested: as configured. used: "imagenet", "file" or "random".
    file: a Keras weights file, None when random. sha256: of that file.
    reason: why `used` is not what one would expect, else "".
    """

    backbone: str
    requested: str
    used: str
    file: str | None
    sha256: str | None
    reason: str = ""

    def write(self, path: PathLike) -> None:
        """Store as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: PathLike) -> "Weights":
        """Read what `write` stored.

        Raises UserError when the weights file is gone or is not the one that was recorded.
        """
        weights = cls(**read_json(path))
        if weights.file is not None:
            if not Path(weights.file).is_file():
                raise UserError(f"{weights.file} is gone. Remove {path} to fetch it again.")
            if sha256_of_file(weights.file) != weights.sha256:
                raise UserError(
                    f"{weights.file} has changed since it was recorded in {path}. "
                    "Remove that record to use the new file."
                )
        return weights

    @property
    def label(self) -> str:
        """What a table says: "imagenet", "random (ImageNet not available)", a file's name."""
        if self.used == "file":
            return Path(self.requested).name
        if self.used == "random" and self.requested == "auto":
            return "random (ImageNet not available)"
        return self.used


def fetch(
    backbone: str, requested: str, destination: PathLike, *, attempts: int = 3, backoff: float = 2.0
) -> Weights:
    """Find the weights for `backbone` and, unless they are a user's file, keep a copy.

    requested: "auto" (ImageNet where it can be had, else random), "imagenet" (or an error),
        "random", or the path of a Keras weights file without the classifier.
    destination: where a fetched copy is kept, `*.weights.h5`; that of EfficientNetLite2's file,
        which is in no format of Keras, beside it with the ending .pth.
    attempts, backoff: of the download; waits backoff, 2 backoff, 4 backoff ... seconds between.

    Raises UserError saying what was tried and what to do instead.
    """
    if requested == "random":
        return Weights(backbone, requested, "random", None, None)
    if requested not in ("auto", "imagenet"):
        if not Path(requested).is_file():
            raise UserError(f"{requested}: no such file; it was to hold weights for {backbone}")
        return Weights(backbone, requested, "file", requested, sha256_of_file(requested))
    try:
        kept = _keep_imagenet(backbone, Path(destination), attempts, backoff)
    except UserError as error:
        if requested == "imagenet":
            raise
        logger.warning(
            "%s STARTS FROM RANDOM WEIGHTS, and its frozen layers keep them: expect little. %s",
            backbone,
            error,
        )
        return Weights(backbone, requested, "random", None, None, str(error))
    return Weights(backbone, requested, "imagenet", str(kept), sha256_of_file(kept))


def _keep_imagenet(backbone: str, destination: Path, attempts: int, backoff: float) -> Path:
    if backbone == "EfficientNetLite2":
        copy = destination.with_name(f"{destination.name.removesuffix('.weights.h5')}.pth")
        with replacing(copy) as temporary:
            shutil.copyfile(lite2_weights.weights_file(), temporary)
        return copy
    model = _fill(backbone, _download(backbone, attempts, backoff))
    with replacing(destination) as temporary:
        # Keras asks for this very ending.
        kept = temporary.with_name(f"{temporary.name}.weights.h5")
        model.save_weights(kept)
        kept.replace(temporary)
    return destination


def _fill(backbone: str, file: Path) -> Any:
    chosen = BACKBONES[backbone]
    model = chosen.build(chosen.image_size)
    try:
        model.load_weights(os.fspath(file))
    except Exception as error:  # h5py and Keras raise everything from KeyError to OSError
        raise UserError(
            f"{file} does not hold the weights of {backbone} ({error}). Remove it: it will be "
            "downloaded again."
        ) from error
    return model


def _download(backbone: str, attempts: int, backoff: float) -> Path:
    """The published file in Keras's cache, where it may have been; its digest checked."""
    published = PUBLISHED[backbone]
    file = _cache() / published.file
    for attempt in range(attempts):
        if attempt:
            time.sleep(backoff * 2 ** (attempt - 1))
        try:
            if not file.is_file() or not _is_it(file, published.digest):
                file.parent.mkdir(parents=True, exist_ok=True)
                with replacing(file) as temporary:
                    _receive(published, temporary)
            return file
        except (OSError, UserError) as error:  # what requests raises is an OSError
            last = reason_of(error)
            logger.info("%s, attempt %d of %d: %s", backbone, attempt + 1, attempts, last)
    raise UserError(
        f"ImageNet weights for {backbone} could not be downloaded in {attempts} attempts ({last}). "
        f"Fetch {published.address} elsewhere and name it as weights: PATH, or copy it to {file}."
    )


def _receive(published: Published, file: Path) -> None:
    address, wanted = published.address, published.digest
    with (
        session(1, 0, (), reread=True) as http,
        http.get(address, stream=True, timeout=30) as answer,
        file.open("wb") as target,
    ):
        answer.raise_for_status()
        for chunk in answer.iter_content(1 << 20):
            target.write(chunk)
            if target.tell() > _LONGEST:
                raise UserError(f"{address} gave more than {_LONGEST} bytes")
    if not _is_it(file, wanted):
        raise UserError(f"{address} gave a file of another digest than {wanted}")


def _is_it(file: Path, digest: str | None) -> bool:
    """Whether a file has a digest, SHA-256 or MD5; any file, where none is known."""
    if digest is None:
        return True
    with file.open("rb") as opened:
        kind = "sha256" if len(digest) == 64 else "md5"
        return hashlib.file_digest(opened, kind).hexdigest() == digest


def _cache() -> Path:
    """Folder where the user's Keras keeps downloaded weights: see `io.environment`."""
    home = os.environ.get("GALLERIST_KERAS_CACHE") or os.environ.get("KERAS_HOME") or "~/.keras"
    return Path(home).expanduser() / "models"
