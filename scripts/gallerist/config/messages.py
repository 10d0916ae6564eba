"""What is wrong with a configuration according to its schema: every problem, in plain words."""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from gallerist.config.schema import (
    KeyPath,
    Schema,
    branches,
    expectation,
    knobs,
    resolved,
    types,
    yaml_number,
    yaml_scalar,
)
from gallerist.evaluation.metrics import MetricError, metric

Errors = Iterator[ValidationError]
SAID = "said"
"""Marks an error whose message is already what the reader is told."""

WEIGHTS_SUFFIXES = (".h5", ".keras")


def schema_problems(config: Any, root: Schema) -> dict[KeyPath, str]:
    """Path of each broken key -> what is wrong with it, one problem a key, in schema order."""
    problems: dict[KeyPath, str] = {}
    for error in _validator(root).iter_errors(config):
        problems.setdefault(tuple(error.absolute_path), _worded(error, root))
    return problems


def spelled(path: KeyPath) -> str:
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


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` most probably was to be; capitals do not count."""
    by_lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def _worded(error: ValidationError, root: Schema) -> str:
    if error.validator == SAID:
        return str(error.message)
    value, schema = error.instance, resolved(error.schema, root)
    if "x-problem" in schema:
        return f"found {_shown(value)}. {schema['x-problem']}"
    if error.validator == "enum" and isinstance(value, str):
        noun = schema.get("x-noun", "one of the choices")
        known = list(map(yaml_scalar, schema["enum"]))
        return f"{_shown(value)} is not {noun}. {_did_you_mean(value, known)}"
    hint = _sweep_hint(error, schema) or _hint(value, schema)
    return f"found {_shown(value)}, expected {expectation(schema)}.{hint}"


def _sweep_hint(error: ValidationError, schema: Schema) -> str:
    """Where values to try can be listed, for a list that stands elsewhere; or nothing."""
    if not isinstance(error.instance, list) or {"array", "object"} & set(types(schema)):
        return ""
    inside = error.absolute_path[0] == "experiments"
    return "" if inside else " Only the keys of an experiment take a list of values to try."


def _did_you_mean(word: Any, known: list[str]) -> str:
    match = closest(word, known) if isinstance(word, str) else None
    meant = f"Did you mean {match}? " if match else ""
    return f"{meant}Known: {', '.join(known)}."


def _shown(value: Any) -> str:
    """A value as its writer would know it again, on one short line."""
    if value is None or isinstance(value, bool):
        return yaml_scalar(value)
    if isinstance(value, Mapping):
        return "a group of settings" if value else "an empty group ({})"
    if isinstance(value, str):
        return _shortened(repr(value))
    if isinstance(value, float):
        return yaml_scalar(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return _shortened(str(value))
    if isinstance(value, list):
        return _shortened(f"[{', '.join(map(_shown, value[:5]))}{', ...' if value[5:] else ''}]")
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
        return f" Write [{_shown(value)}]."
    if value is None and schema.get("default") == {}:
        return " Leave the key out, or write {}, for its defaults."
    if "string" in allowed and value is not None and not isinstance(value, str | list | Mapping):
        return " Put it in quotes."
    return ""


def _number_hint(text: str) -> str:
    try:
        plain = yaml_number(text) if text.isascii() else ""
    except ValueError:
        return ""
    if "e" in plain and plain != text:
        return f" YAML takes {text.strip()} for text: write {plain}."
    return f" Write {plain} without quotes." if plain else ""


def _required(root: Schema, _: Any, required: list[str], instance: Any, schema: Schema) -> Errors:
    if not isinstance(instance, dict):
        return
    for key in required:
        if key not in instance:
            member = resolved(schema["properties"][key], root)
            yield _missing(key, expectation(member), member.get("examples"))


def _missing(key: str, expected: str, examples: list[Any] | None) -> ValidationError:
    example = f", for example {yaml_scalar(examples[0])}" if examples else ""
    return ValidationError(f"missing. Expected {expected}{example}.", validator=SAID, path=[key])


def _additional(
    root: Schema, validator: Any, allowed: bool | Schema, instance: Any, schema: Schema
) -> Errors:
    """Refuse unknown keys, each with a way out; or check the members of an open group."""
    if not isinstance(instance, dict):
        return
    properties = schema.get("properties", {})
    for key, value in instance.items():
        if not isinstance(key, str):
            message = f"a key must be text: put it in quotes, '{key}'."
            yield ValidationError(message, validator=SAID, path=[str(key)])
        elif key not in properties:
            if isinstance(allowed, dict):
                yield from validator.descend(value, allowed, path=key)
            else:
                message = _unknown(key, list(properties), root)
                yield ValidationError(message, validator=SAID, path=[key])


def _unknown(key: str, known: list[str], root: Schema) -> str:
    elsewhere = [knob for knob in knobs(root) if knob.key == key]
    if len(elsewhere) == 1:
        [knob] = elsewhere
        place = f"{knob.path} with {knob.kind}" if knob.kind else knob.path
        return f"unknown key here. It belongs at {place}. Known: {', '.join(known)}."
    return f"unknown key. {_did_you_mean(key, known)}"


def _names(_: Schema, __: Any, rule: Schema, instance: Any, ___: Schema) -> Errors:
    if not isinstance(instance, dict):
        return
    for name in instance:
        if isinstance(name, str) and not re.fullmatch(rule["pattern"], name):
            message = f"not a possible name. Expected {expectation(rule)}."
            yield ValidationError(message, validator=SAID, path=[name])


def _one_of(root: Schema, validator: Any, _: list[Schema], instance: Any, schema: Schema) -> Errors:
    """Check against the one definition that a discriminating key names."""
    if not isinstance(instance, dict):
        return
    kinds = branches(schema, root)
    given = [key for key in kinds if key in instance]
    if len(given) != 1:
        known = "; or ".join(f"{key}: one of {', '.join(kinds[key])}" for key in kinds)
        said = (
            f"{' and '.join(given)} are given, expected one" if given else "missing. Expected one"
        )
        message = f"{said} of {known}."
        yield ValidationError(
            message, validator=SAID, path=[given[-1] if given else next(iter(kinds))]
        )
        return
    key, kind = given[0], instance[given[0]]
    if isinstance(kind, str) and kind in kinds[key]:
        yield from validator.descend(instance, kinds[key][kind])
    else:
        message = f"{_shown(kind)} is not a kind of {key}. {_did_you_mean(kind, list(kinds[key]))}"
        yield ValidationError(message, validator=SAID, path=[key])


def _pattern(_: Schema, __: Any, pattern: str, instance: Any, ___: Schema) -> Errors:
    # Python's $ lets a final line break through; every pattern of the schema is of the whole text.
    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield ValidationError("does not match")


def _format(_: Schema, __: Any, name: str, instance: Any, schema: Schema) -> Errors:
    if isinstance(instance, str) and instance:
        problem = _FORMATS[name](instance, schema)
        if problem:
            yield ValidationError(f"{_shown(instance)} {problem}", validator=SAID)


def _folder_problem(value: str, _: Schema) -> str | None:
    if _is(Path.is_dir, value):
        return None
    if _is(Path.is_file, value):
        return "is a file, not a folder."
    return "is no folder. A relative path starts where the workflow runs."


def _file_problem(value: str, _: Schema) -> str | None:
    if _is(Path.is_file, value):
        return None
    return "is no file. A relative path starts where the workflow runs."


def _file_or_url_problem(value: str, _: Schema) -> str | None:
    if re.match(r"[a-z]+://", value) or _is(Path.is_file, value):
        return None
    return "is neither a URL nor a file. A relative path starts where the workflow runs."


def _subfolder_problem(value: str, _: Schema) -> str | None:
    outside = value.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", value)
    return "leads out of the archive: write a path inside it." if outside else None


def _keyword_problem(value: str, schema: Schema) -> str | None:
    keywords = schema["x-keywords"]
    if value in keywords:
        return None
    meant = difflib.get_close_matches(value.lower(), keywords, n=1, cutoff=0.75)
    return f"looks misspelled. Did you mean {meant[0]}?" if meant else None


def _weights_problem(value: str, schema: Schema) -> str | None:
    if value in schema["x-keywords"]:
        return None
    if not value.endswith(WEIGHTS_SUFFIXES):
        misspelled = _keyword_problem(value, schema)
        return misspelled or f"is no Keras weights file. Expected {expectation(schema)}."
    return None if _is(Path.is_file, value) else "is no file. Give auto, or the path of one."


def _metric_problem(value: str, _: Schema) -> str | None:
    try:
        metric(value)
    except MetricError as error:
        return " ".join(str(error).removeprefix(f"{value!r} ").split())
    return None


def _is(question: Callable[[Path], bool], path: str) -> bool:
    try:
        return question(Path(path))
    except (OSError, ValueError):  # a name that no disk takes
        return False


_FORMATS: dict[str, Callable[[str, Schema], str | None]] = {
    "folder": _folder_problem,
    "file": _file_problem,
    "file-or-url": _file_or_url_problem,
    "subfolder": _subfolder_problem,
    "keyword-or-text": _keyword_problem,
    "weights": _weights_problem,
    "metric": _metric_problem,
}


def _is_number(_: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


_TYPES = Draft202012Validator.TYPE_CHECKER.redefine("number", _is_number)
_KEYWORDS: dict[str, Callable[..., Errors]] = {
    "required": _required,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "oneOf": _one_of,
    "pattern": _pattern,
    "format": _format,
}


def _validator(root: Schema) -> Any:
    """The standard validator with keywords that speak plainly; each is told the whole schema."""
    keywords = {name: partial(keyword, root) for name, keyword in _KEYWORDS.items()}
    return extend(Draft202012Validator, keywords, type_checker=_TYPES)(root)
