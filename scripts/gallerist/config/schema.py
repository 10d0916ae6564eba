"""The models of the configuration as seen from outside: their keys, kinds, words and JSON schema.

PYTHONPATH=scripts python -m gallerist.config.schema > config/schema.json
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import create_model
from pydantic.fields import FieldInfo

from gallerist.settings.base import Settings
from gallerist.settings.configuration import Configuration

Schema = dict[str, Any]
Model = type[Settings]
NAME = "name"
"""The key that says which of several groups a value is."""

KeyPath = tuple[str | int, ...]
"""Where a value stands: ("evaluation", "k", 0)."""


@dataclass(frozen=True)
class Key:
    """One key of the configuration.

    path: dotted, `experiments.<name>.epochs`.
    schema: its JSON schema, references followed.
    required: may not be left out of its group.
    kind: the choice it belongs to, `network: transfer`, or "".
    """

    path: str
    schema: Schema
    required: bool
    kind: str

    @property
    def name(self) -> str:
        """The last word of the path."""
        return self.path.rsplit(".", 1)[-1]


@cache
def json_schema(model: Model) -> Schema:
    """The JSON schema of a model, `null` as a type beside others. Shared: do not change it."""
    schema: Schema = _tidy(model.model_json_schema())
    return schema


@cache
def members(model: Model) -> dict[str, Schema]:
    """Each key of a group and its JSON schema, references followed. Shared: do not change it."""
    whole = json_schema(model)
    return {
        name: _follow(schema, whole.get("$defs", {}))
        for name, schema in whole["properties"].items()
    }


def group_of(field: FieldInfo, value: Any = None) -> Model | None:
    """The model of a key whose value is a group of settings.

    value: of the key. Where there are several groups it names its one; None where it names none.
    """
    found = groups_of(field)
    if len(found) > 1:
        name = value.get(NAME) if isinstance(value, Mapping) else None
        return found.get(name) if isinstance(name, str) else None
    return next(iter(found.values()), None)


def groups_of(field: FieldInfo) -> dict[str, Model]:
    """The models of a key's groups, by what each is called where there are several."""
    models = [] if get_origin(field.annotation) is dict else _models_in(field.annotation)
    if len(models) == 1:
        return {"": models[0]}
    return {get_args(each.model_fields[NAME].annotation)[0]: each for each in models}


def takes_list(field: FieldInfo) -> bool:
    """Whether the value of a key is itself a list."""
    return any(get_origin(each) is list for each in (field.annotation, *get_args(field.annotation)))


def kinds(model: Model) -> dict[str, dict[str, Model]]:
    """The kinds of experiments: the key that names the kind -> its value -> the experiment's model.

    The first key of each experiment's model is the one that names its kind.
    """
    found: dict[str, dict[str, Model]] = {}
    for each in _models_in(model.model_fields["experiments"].annotation):
        key, field = next(iter(each.model_fields.items()))
        found.setdefault(key, {})[get_args(field.annotation)[0]] = each
    return found


def keys(model: Model, prefix: str = "", kind: str = "") -> Iterator[Key]:
    """Every key of a model, groups before their members, in the order of the models."""
    for name, schema in members(model).items():
        field = model.model_fields[name]
        yield Key(prefix + name, schema, field.is_required(), kind)
        for called, group in groups_of(field).items():
            for inner in keys(group, f"{prefix}{name}.", kind):
                names = bool(called) and inner.path == f"{prefix}{name}.{NAME}"
                told = {"description": json_schema(group)["description"]} if names else {}
                yield replace(inner, schema={**inner.schema, **told})
        if get_origin(field.annotation) is dict:
            for key, named in kinds(model).items():
                for value, each in named.items():
                    yield from keys(each, f"{prefix}{name}.<name>.", f"{key}: {value}")


@cache
def _model_of_key(model: Model, name: str) -> Model:
    """A model with one key of another."""
    field = model.model_fields[name]
    only: dict[str, Any] = {name: (field.annotation, field)}
    return create_model(f"Only_{name}", __base__=Settings, **only)


def validate_key(model: Model, name: str, value: Any, context: Any = None) -> Any:
    """What a model makes of the value of one of its keys, whatever the others are.

    Raises pydantic's ValidationError when the value is wrong.
    """
    return getattr(_model_of_key(model, name).model_validate({name: value}, context=context), name)


def _models_in(annotation: Any) -> list[Model]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [model for each in get_args(annotation) for model in _models_in(each)]


def _tidy(schema: Any) -> Any:
    """Leave out what only repeats names; one type or null is a list of two types."""
    if isinstance(schema, list):
        return [_tidy(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    known = {key: _tidy(value) for key, value in schema.items()}
    if isinstance(known.get("title"), str):
        del known["title"]
    known.pop("discriminator", None)
    if isinstance(known.get("description"), str):
        known["description"] = " ".join(known["description"].split())
    match known.get("anyOf"):
        case [{"type": str(named), **rest}, {"type": "null"}]:
            if "enum" in rest:
                rest["enum"] = [*rest["enum"], None]  # type: ignore[misc]
            known = {**rest, "type": [named, "null"], **known}
            del known["anyOf"]
    return known


def _follow(schema: Schema, definitions: Schema) -> Schema:
    match schema:
        case {"$ref": reference, **beside}:
            null = {}
        case {"anyOf": [{"$ref": reference}, {"type": "null"}], **beside}:
            null = {"type": ["object", "null"]}
        case _:
            return schema
    return {**definitions[reference.removeprefix("#/$defs/")], **null, **beside}


def editor_schema(model: Model) -> Schema:
    """The JSON schema for editors: it names units, and lets keys of experiments take lists."""
    schema = deepcopy(json_schema(model))
    swept = set()
    for named in kinds(model).values():
        for each in named.values():
            swept |= {each.__name__, *json_schema(each).get("$defs", {})}
    for name, definition in {**schema["$defs"], "": schema}.items():
        for key, each in definition["properties"].items():
            plain = {word: value for word, value in each.items() if not word.startswith("x-")}
            plain["description"] = _follow(each, schema["$defs"])["description"]
            if unit := each.get("x-unit"):
                plain["description"] += f" Unit: {unit}."
            if name in swept and "const" not in plain and plain.get("type") != "array":
                plain = _or_list(plain)
            definition["properties"][key] = plain
    [experiments] = schema["properties"]["experiments"]["patternProperties"].values()
    experiments["oneOf"] += [
        {"type": "object", "required": [key], "properties": {key: {"type": "array"}}}
        for key in kinds(model)
    ]
    return schema


def _lines(value: Any, depth: int = 0) -> str:
    """The JSON schema for editors as it is kept: a key of the configuration a line."""
    if not isinstance(value, dict) or depth == _DEPTH_OF_A_KEY:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)  # pydantic's order varies
    indent = "  " * (depth + 1)
    inner = [f"{indent}{json.dumps(key)}: {_lines(each, depth + 1)}" for key, each in value.items()]
    return "{\n" + ",\n".join(inner) + "\n" + indent[2:] + "}"


_DEPTH_OF_A_KEY = 4
"""$defs, then a group, its properties, and one of them."""


def _or_list(schema: Schema) -> Schema:
    """The same value, or a list of such values to try."""
    around = schema.keys() & {"description", "default", "examples"}
    value = {key: each for key, each in schema.items() if key not in around}
    choices = [value, {"type": "array", "items": value, "minItems": 1}]
    return {**{key: schema[key] for key in around}, "anyOf": choices}


def types(schema: Schema) -> list[str]:
    """The types a schema names, as a list."""
    named = schema.get("type", [])
    return [named] if isinstance(named, str) else list(named)


def expectation(schema: Schema) -> str:
    """What a value must be, in words: "a whole number of at least 1"."""
    if "x-expects" in schema:
        return str(schema["x-expects"])
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


def main() -> None:
    """Write the schema for editors to standard output."""
    print(_lines(editor_schema(Configuration)))


if __name__ == "__main__":
    main()
