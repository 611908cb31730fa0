"""Change single settings of a nested, frozen configuration from text such as ``fit.steps=100``."""

import difflib
import types
import typing
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

WORDS = {"true": True, "false": False}


def override(config: Any, changes: Sequence[str]) -> Any:
    """A copy of the dataclass ``config`` with ``changes``, each "key=value", key "part.part.name".

    Values: 3, 0.5, true, text, 1,2,4 for several numbers, none where a setting may be None.
    Raises ValueError for an unknown key (listing the valid ones), a value of another type, and a
    value that the configuration itself refuses.
    """
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"--set takes key=value; got {change!r}")
        config = _changed(config, key.split("."), text, key, keys(config))
    return config


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


def _changed(config: Any, path: list[str], text: str, key: str, known: list[str]) -> Any:
    name, *rest = path
    value = getattr(config, name, None) if name in {f.name for f in fields(config)} else None
    if key not in known:
        near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"there is no setting {key!r}.{hint} There are: {', '.join(known)}")
    if rest:
        return replace(config, **{name: _changed(value, rest, text, key, known)})
    return replace(config, **{name: _parse(text, typing.get_type_hints(type(config))[name], key)})


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
