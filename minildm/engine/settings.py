"""Change single settings of a nested, frozen configuration from text such as ``fit.steps=100``."""

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

WORDS = {"true": True, "false": False}


def override(config: Any, changes: Sequence[str]) -> Any:
    """A copy of the dataclass ``config`` with ``changes``, each "key=value", key "part.part.name".

    Values: 3, 0.5, true, text, 1,2,4 for several numbers, none where a setting may be None. All are
    changed at once, so that their order does not matter.
    Raises ValueError for an unknown key (listing the valid ones), a key that is given twice, a
    value of another type, and a value that the configuration itself refuses.
    """
    wanted: dict[str, str] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"--set takes key=value; got {change!r}")
        if key in wanted:
            raise ValueError(f"{key} is given twice: {wanted[key]!r} and {text!r}")
        wanted[key] = text
    known = keys(config)
    for key in wanted:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"there is no setting {key!r}.{hint} There are: {', '.join(known)}")
    return _changed(config, wanted, "")


def keys(config: Any, prefix: str = "") -> list[str]:
    """All keys of ``override`` for this configuration."""
    found = []
    for name in (field.name for field in fields(config)):
        value = getattr(config, name)
        found += keys(value, f"{prefix}{name}.") if is_dataclass(value) else [prefix + name]
    return found


def reseeded(config: Any, seed: int) -> Any:
    """A copy with every setting called ``seed`` changed."""
    return override(config, [f"{k}={seed}" for k in keys(config) if k.split(".")[-1] == "seed"])


def _changed(config: Any, wanted: Mapping[str, str], prefix: str) -> Any:
    """``config``, which stands at ``prefix`` of the whole, with the changes that are its own."""
    hints, new = typing.get_type_hints(type(config)), {}
    for name in (field.name for field in fields(config)):
        value, key = getattr(config, name), prefix + name
        if is_dataclass(value):
            if any(other.startswith(f"{key}.") for other in wanted):
                new[name] = _changed(value, wanted, f"{key}.")
        elif key in wanted:
            new[name] = _parse(wanted[key], hints[name], key)
    try:
        return replace(config, **new) if new else config
    except ValueError as error:
        said = str(error)
        where = "" if not prefix or said.startswith(prefix) else f"{prefix.rstrip('.')}: "
        raise ValueError(where + said) from error


def _parse(text: str, kind: Any, key: str) -> Any:
    """``text`` as a value of the annotated type ``kind``."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [k for k in typing.get_args(kind) if k is not type(None)]
        if len(kinds) < len(typing.get_args(kind)) and text.lower() == "none":
            return None
        return _parse(text, kinds[0], key)
    if typing.get_origin(kind) is tuple:
        parts = [part.strip() for part in text.strip("()[] ").split(",")]
        return tuple(_parse(part, typing.get_args(kind)[0], key) for part in parts if part)
    try:
        return WORDS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError) as error:
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, kind)
        raise ValueError(f"{key} must be {wanted}; got {text!r}") from error
