"""What is wrong with a configuration according to its models: every problem, in plain words."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gallerist.config.schema import (
    NAME,
    KeyPath,
    Model,
    Schema,
    expectation,
    groups_of,
    json_schema,
    keys,
    kinds,
    members,
    types,
    yaml_number,
    yaml_scalar,
)
from gallerist.settings.configuration import NAME_IN_WORDS
from gallerist.settings.texts import PROBLEM

_EXPERIMENT: Schema = {"x-expects": "an experiment's settings, one key a line", "type": "object"}


def format_problems(error: ValidationError, model: Model) -> dict[KeyPath, str]:
    """Path of each broken key -> what is wrong with it, one problem a key, in order of the keys.

    The paths are those of the configuration that was validated as `model`.
    """
    problems: dict[KeyPath, str] = {}
    errors = error.errors(include_url=False)
    of_names = [each for each in errors if each["loc"][-1:] == ("[key]",)]
    no_texts = [each["loc"][:-1] for each in of_names if not isinstance(each["input"], str)]
    for each in errors:
        if each in of_names or each["loc"][:2] not in no_texts:
            path, problem = _problem(each, model)
            problems.setdefault(path, problem)
    return problems


def _problem(error: ErrorDetails, model: Model) -> tuple[KeyPath, str]:
    """The path of what one error is about, as it is written, and what is wrong with it."""
    path, group, schema = _place(error["loc"], model)
    kind, value = error["type"], error["input"]
    if error["loc"][-1:] == ("[key]",) or kind == "invalid_key":
        name = yaml_scalar(value) if isinstance(value, bool) else str(value)
        return (*path[:-1], name), _name_problem(value)
    if kind.startswith("union_tag") and path[:-1] != ("experiments",):
        named = value.get(NAME) if isinstance(value, Mapping) else value
        choices = did_you_mean(named, groups_of(group.model_fields[str(path[-1])]))
        if named is None:
            return (*path, NAME), f"missing. {choices}"
        return path, f"{format_value(named)} is not {schema['x-noun']}. {choices}"
    if kind.startswith("union_tag") and isinstance(value, Mapping):
        key, problem = _kind_problem(value, kinds(model))
        return (*path, key), problem
    if kind == "extra_forbidden":
        return path, _unknown(str(path[-1]), list(group.model_fields), model)
    if kind == "missing":
        examples = [f", for example {yaml_scalar(each)}" for each in schema.get("examples", [])]
        return path, f"missing. Expected {expectation(schema)}{''.join(examples)}."
    if kind == PROBLEM:
        return path, f"{format_value(value)} {error['ctx']['problem']}"
    return path, _value_problem(value, schema, path)


def format_path(path: KeyPath) -> str:
    """A path as one writes it: `evaluation.k[0]`. Keys that could mislead are quoted."""
    if not path:
        return "the configuration"
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            plain = re.fullmatch(r"[\w-]+", step)
            text += ("." if text else "") + (step if plain else _shortened(repr(step)))
    return text


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """The known word that was probably meant, capitals aside, if there is one; and all known."""
    known = list(known)
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1) if isinstance(word, str) else []
    meant = "".join(f"Did you mean {by_lower[each]}? " for each in close)
    return f"{meant}Known: {', '.join(known)}."


def _place(location: tuple[int | str, ...], model: Model) -> tuple[KeyPath, Model, Schema]:
    """Where pydantic found an error: the path, the group that has its key, the key's schema.

    Behind the name of an experiment pydantic names its kind, which the path leaves out.
    """
    path: list[int | str] = []
    group, schema, choices = model, json_schema(model), dict[str, Any]()
    for step in location:
        if choices:
            chosen = choices.get(str(step), {})
            if isinstance(chosen, dict):
                choices = chosen
            else:
                group, schema, choices = chosen, json_schema(chosen), {}
            continue
        path.append(step)
        if path[:-1] == ["experiments"]:
            schema, choices = _EXPERIMENT, kinds(model)
        elif isinstance(step, int):
            schema = schema.get("items", {})
        else:
            schema = members(group).get(step, {})
            field = group.model_fields.get(step)
            groups = groups_of(field) if field else {}
            choices = groups if len(groups) > 1 else {}
            group = groups.get("", group)
    return tuple(path), group, schema


def _name_problem(name: Any) -> str:
    if isinstance(name, str):
        return f"not a possible name. Expected {NAME_IN_WORDS}."
    if isinstance(name, bool):
        return f"a key must be text.{_boolean_hint(name)}"
    return f"a key must be text: put it in quotes, '{name}'."


def _boolean_hint(value: bool) -> str:
    words = ("yes", "on", "true") if value else ("no", "off", "false")
    return f" YAML takes {', '.join(words)} for {words[-1]}: put the word in quotes, '{words[0]}'."


def _kind_problem(
    experiment: Mapping[Any, Any], known: Mapping[str, Mapping[str, Model]]
) -> tuple[str, str]:
    """The key that is to name an experiment's kind, and what is wrong with it."""
    given = [key for key in known if key in experiment]
    if len(given) == 1:
        [key] = given
        choices = did_you_mean(experiment[key], known[key])
        return key, f"{format_value(experiment[key])} is not a kind of {key}. {choices}"
    choices = "; or ".join(f"{key}: one of {', '.join(known[key])}" for key in known)
    if given:
        return given[-1], f"{' and '.join(given)} are given, expected one of {choices}."
    return next(iter(known)), f"missing. Expected one of {choices}."


def _unknown(key: str, known: list[str], model: Model) -> str:
    elsewhere = [each for each in keys(model) if each.name == key]
    if len(elsewhere) == 1:
        [only] = elsewhere
        place = f"{only.path} with {only.kind}" if only.kind else only.path
        return f"unknown key here. It belongs at {place}. Known: {', '.join(known)}."
    return f"unknown key. {did_you_mean(key, known)}"


def _value_problem(value: Any, schema: Schema, path: KeyPath) -> str:
    if "enum" in schema and isinstance(value, str):
        noun = schema.get("x-noun", "one of the choices")
        known = map(yaml_scalar, schema["enum"])
        return f"{format_value(value)} is not {noun}. {did_you_mean(value, known)}"
    hint = _hint(value, schema)
    listed = isinstance(value, list) and not {"array", "object"} & set(types(schema))
    if listed and path[0] != "experiments":
        hint = " Only the keys of an experiment take a list of values to try."
    return f"found {format_value(value)}, expected {expectation(schema)}.{hint}"


def format_value(value: Any) -> str:
    """A value as its writer would know it again, on one short line."""
    if value is None or isinstance(value, bool):
        return yaml_scalar(value)
    if isinstance(value, Mapping):
        return "a group of settings" if value else "an empty group ({})"
    if isinstance(value, str):
        return _shortened(repr(value))
    if isinstance(value, float) and math.isfinite(value):
        return yaml_scalar(value)
    if isinstance(value, int | float):
        return _shortened(str(value))
    if isinstance(value, list):
        first = ", ".join(map(format_value, value[:5]))
        return _shortened(f"[{first}{', ...' if value[5:] else ''}]")
    return _shortened(f"{str(value)!r} ({type(value).__name__})")


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _hint(value: Any, schema: Schema) -> str:
    """How to write what was probably meant, with a blank before it, or nothing."""
    allowed = types(schema)
    if isinstance(value, str) and {"integer", "number"} & set(allowed):
        return _number_hint(value)
    if isinstance(value, str) and value.lower() in ("true", "false", "null", "none"):
        return " Write it without quotes." if {"boolean", "null"} & set(allowed) else ""
    if "array" in allowed and isinstance(value, str | int | float):
        return f" Write [{format_value(value)}]."
    if value is None and schema.get("default") == {}:
        return " Leave the key out, or write {}, for its defaults."
    if "string" in allowed and isinstance(value, bool):
        return _boolean_hint(value)
    if "string" in allowed and value is not None and not isinstance(value, str | list | Mapping):
        return " Put it in quotes."
    return ""


def _number_hint(text: str) -> str:
    try:
        plain = yaml_number(text) if text.isascii() else ""
    except ValueError:
        return ""
    return f" Write {plain} without quotes." if plain else ""
