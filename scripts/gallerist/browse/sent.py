"""What the page sends, beside pictures: checked before anything is done with it."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

Sent = TypeVar("Sent", bound=BaseModel)


class Said(BaseModel):
    """A correction as the page sends it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    picture: str = Field(max_length=64)
    action: str = Field(max_length=10)
    value: str = Field("", max_length=255)
    note: str = Field("", max_length=500)


class Region(BaseModel):
    """A part of a picture, as the page sends it.

    picture: of the data set, or of an upload where no data set is named.
    box: left, top, right and bottom as shares of its sides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_set: str = Field("", max_length=255)
    picture: str = Field(max_length=64)
    box: tuple[float, float, float, float]


def read(model: type[Sent], content: bytes) -> Sent:
    """What JSON says. Raises HTTPException, which names the first thing that is wrong."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "what was sent"
        raise HTTPException(422, f"{where}: {first['msg']}") from None
