"""What every section is made of: the base of the models, `key`, and the types that are shared."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

LONGEST_NAME = 100
"""Characters of a name that files are called by: what is added to it, and 255 bytes are the end."""

_WITH_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


class Settings(BaseModel):
    """Settings that belong together. Frozen; unknown keys and values of another type are refused.

    Keys stand in the order of the bases, the last base first, then the class's own. A key is
    described by its `doc` or the text below it; a group that has neither, by its class.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        defer_build=True,
    )


def key(
    default: Any,
    unit: str = "",
    *,
    doc: str | None = None,
    noun: str = "",
    expects: str = "",
    example: Any = None,
    absent: bool = False,
    **bounds: Any,
) -> Any:
    """Declare a key of a group of settings.

    default: `...` for a key that is required, a class for a group that has its own defaults.
    doc: its description, where it fits on the line; else it is the text below the key.
    noun: what one of the choices is called. expects: what a value must be, in words, where its type
    and bounds do not say it well. absent: left out of what is written where it is null.
    bounds: of the value, and whatever else `pydantic.Field` takes.
    """
    words = {"x-unit": unit, "x-noun": noun, "x-expects": expects}
    extra: dict[str, Any] = {name: value for name, value in words.items() if value}
    if example is not None:
        extra["examples"] = [example]
    if isinstance(default, type):
        extra["default"] = {}
        return Field(default_factory=default, description=doc, json_schema_extra=extra, **bounds)

    def extend(schema: dict[str, Any]) -> None:
        schema.update(extra)
        if absent:
            schema.pop("default", None)

    if absent:
        bounds["exclude_if"] = lambda value: value is None
    return Field(default, description=doc, json_schema_extra=extend, **bounds)


def item(expects: str, **bounds: Any) -> Any:
    """Metadata of one value of a list: what it must be, in words, and its bounds."""
    return Field(json_schema_extra={"x-expects": expects}, **bounds)


def _number(value: Any) -> Any:
    """YAML 1.1 takes 1e-4, without a dot, for text; it is the number that it looks like."""
    text = value.strip() if isinstance(value, str) else ""
    return float(text) if _WITH_EXPONENT.fullmatch(text) else value


def _whole(value: Any) -> Any:
    """4.0 is the whole number 4."""
    value = _number(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _all_differ(values: list[Any]) -> list[Any]:
    if any(value in values[:place] for place, value in enumerate(values)):
        raise ValueError("two values are the same")
    return values


def _off(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("0 is a number")  # though it equals False
    return False if value == "off" else value


ALL_DIFFER = AfterValidator(_all_differ)
OFF = BeforeValidator(_off)
"""A quoted "off" is what off is without quotes, where YAML 1.1 reads false."""

_WHOLE, _NUMBER = BeforeValidator(_whole), BeforeValidator(_number)

Int = Annotated[int, _WHOLE]
Natural = Annotated[int, Field(ge=0), _WHOLE]
Count = Annotated[int, Field(ge=1), _WHOLE]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1), _WHOLE]
Side = Annotated[int, Field(ge=32, le=1024), _WHOLE]
"""Of the square that a picture is resized to for a network, in pixels."""
Float = Annotated[float, _NUMBER]
NonNegative = Annotated[float, Field(ge=0), _NUMBER]
Positive = Annotated[float, Field(gt=0), _NUMBER]
Share = Annotated[float, Field(ge=0, le=1), _NUMBER]
OpenShare = Annotated[float, Field(gt=0, lt=1), _NUMBER]
