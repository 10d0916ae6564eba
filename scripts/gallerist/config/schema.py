"""The schema of the configuration: its definitions, its defaults, and its rules put into words."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gallerist import CHECKOUT

Schema = dict[str, Any]
KeyPath = tuple[str | int, ...]
"""Where a value stands: ("evaluation", "k", 0)."""

PACKAGED_SCHEMA = CHECKOUT / "config" / "schema.yaml"


@dataclass(frozen=True)
class Knob:
    """One key of the configuration.

    path: dotted, `experiments.<name>.epochs`.
    schema: its part of the schema, references followed.
    required: may not be left out of its group.
    kind: the choice it belongs to, `network: transfer`, or "".
    """

    path: str
    schema: Schema
    required: bool
    kind: str

    @property
    def key(self) -> str:
        """The last word of the path."""
        return self.path.rsplit(".", 1)[-1]


@cache
def read_schema(path: Path) -> Schema:
    """Read a schema written in YAML. The result is shared: do not change it."""
    schema: Schema = yaml.safe_load(path.read_text(encoding="utf-8"))
    return schema


def resolved(schema: Schema, root: Schema) -> Schema:
    """Replace a `$ref` to an entry of the root's `$defs` by that entry; keys beside it win."""
    if "$ref" not in schema:
        return schema
    target = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return resolved({**target, **beside}, root)


def branches(schema: Schema, root: Schema) -> dict[str, dict[str, Schema]]:
    """The definitions a mapping chooses from: discriminating key -> its value -> definition.

    A mapping has one of the keys, and each definition says by `const` what value it stands for.
    """
    found: dict[str, dict[str, Schema]] = {key: {} for key in schema.get("x-kinds", [])}
    for branch in schema["oneOf"] if found else ():
        definition = resolved(branch, root)
        [key] = [key for key in found if "const" in definition["properties"].get(key, {})]
        found[key][definition["properties"][key]["const"]] = definition
    return found


def branch_of(value: Mapping[Any, Any], schema: Schema, root: Schema) -> Schema | None:
    """The definition that a mapping has chosen; None where it has not, or chooses nothing known."""
    for key, kinds in branches(schema, root).items():
        if isinstance(value.get(key), str):
            return kinds.get(value[key])
    return None


def filled(value: Any, schema: Schema, root: Schema) -> Any:
    """Copy `value`, adding every missing key that has a default. What the schema lacks is kept.

    Mappings become plain dicts, known keys first and in the schema's order. Numbers get the type
    the schema names (integer: 4.0 -> 4, number: 4 -> 4.0), and a quoted "off" becomes false where
    false is a choice, so that equal settings look equal.
    """
    schema = resolved(schema, root)
    if isinstance(value, Mapping):
        return _filled_mapping(value, branch_of(value, schema, root) or schema, root)
    if isinstance(value, list) and "items" in schema:
        return [filled(item, schema["items"], root) for item in value]
    if value == "off" and any(each is False for each in schema.get("enum", [])):
        return False  # YAML 1.1 reads off so, unless it stands in quotes
    return _typed_number(value, types(schema))


def _filled_mapping(value: Mapping[Any, Any], schema: Schema, root: Schema) -> dict[Any, Any]:
    known = {key: resolved(each, root) for key, each in schema.get("properties", {}).items()}
    complete = {}
    for key, each in known.items():
        if key in value:
            complete[key] = filled(value[key], each, root)
        elif "default" in each:
            complete[key] = filled(each["default"], each, root)
    others = schema.get("additionalProperties")
    others = others if isinstance(others, dict) else {}
    for key in value:
        if key not in known:
            complete[key] = filled(value[key], others, root)
    return complete


def _typed_number(value: Any, allowed: list[str]) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if "integer" in allowed and isinstance(value, float) and value.is_integer():
        return int(value)
    if "number" in allowed and isinstance(value, int) and abs(value) <= 2**53:
        return float(value)
    return value


def types(schema: Schema) -> list[str]:
    """The types a schema names, as a list."""
    named = schema.get("type", [])
    return [named] if isinstance(named, str) else list(named)


def knobs(root: Schema) -> Iterator[Knob]:
    """Every key of the configuration, groups before their members, in the schema's order."""
    yield from _knobs(root, root, "", "")


def _knobs(schema: Schema, root: Schema, prefix: str, kind: str) -> Iterator[Knob]:
    for key, each in schema.get("properties", {}).items():
        member = resolved(each, root)
        required = key in schema.get("required", [])
        yield Knob(prefix + key, member, required, kind)
        yield from _knobs(member, root, f"{prefix}{key}.", kind)
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        member = resolved(others, root)
        for key, kinds in branches(member, root).items():
            for name, branch in kinds.items():
                yield from _knobs(branch, root, f"{prefix}<name>.", f"{key}: {name}")
        yield from _knobs(member, root, f"{prefix}<name>.", kind)


def expectation(schema: Schema) -> str:
    """What a value must be, in words: "a whole number of at least 1"."""
    if "x-expects" in schema:
        return str(schema["x-expects"])
    if "const" in schema:
        return yaml_scalar(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(map(yaml_scalar, schema["enum"]))
    words = {
        "null": "null",
        "boolean": "true or false",
        "integer": "a whole number" + _bounds(schema),
        "number": "a number" + _bounds(schema),
        "string": "text",
        "array": "a list",
        "object": "a group of settings (key: value, one a line)",
    }
    return " or ".join(words[each] for each in types(schema)) or "anything"


def _bounds(schema: Schema) -> str:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if least is not None and most is not None:
        return f" from {yaml_scalar(least)} to {yaml_scalar(most)}"
    limits = {"of at least": least, "above": above, "of at most": most, "below": below}
    parts = [f"{word} {yaml_scalar(limit)}" for word, limit in limits.items() if limit is not None]
    return " " + " and ".join(parts) if parts else ""


def yaml_scalar(value: Any) -> str:
    """Spell a value on one line as YAML 1.1 reads it back: null, true, 1.0e-5, [1, 3]."""
    if isinstance(value, float):
        return yaml_number(repr(value))
    if isinstance(value, str):
        return value if re.fullmatch(r"[A-Za-z][\w./:-]*", value) else json.dumps(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(yaml_scalar, value)) + "]"
    return json.dumps(value)


def yaml_number(text: str) -> str:
    """Spell a number as YAML 1.1 takes it for one: 1e-5 is text to it, 1.0e-5 a number.

    Raises ValueError when `text` is no finite number.
    """
    if not math.isfinite(float(text)):
        raise ValueError(f"{text} is not finite")
    mantissa, e, exponent = text.strip().lower().partition("e")
    if not e:
        return mantissa.removesuffix(".0") if "." in mantissa else mantissa
    mantissa = mantissa if "." in mantissa else mantissa + ".0"
    return f"{mantissa}e{int(exponent):+d}"
