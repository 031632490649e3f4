"""Settings from YAML with `extends` and `a.b=value` overrides."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from radarsparse.config.stages import ADAPTER, Config
from radarsparse.errors import InputError


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses doubled keys and reads `1e-4` as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise InputError(f"key {key!r} stands twice (line {line}); keep one")
            seen.add(key)
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


# Of impossible dates, of keys that are lists or mappings, and of nesting without end.
_UNREADABLE_YAML = (ValueError, TypeError, RecursionError)


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML text strictly.

    Args:
        text: the document.
        source: what to call it in errors, usually the file's path.

    Raises:
        InputError: the text is no YAML or holds a doubled key.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, InputError, *_UNREADABLE_YAML) as error:
        raise InputError(f"{source}: {error}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        InputError: the file is missing, no YAML, or no mapping.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read ({error})") from error
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict):
        raise InputError(f"{path}: the top level must be a mapping of keys to values")
    return content


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config file, apply what it extends and the overrides, and check every value.

    Args:
        path: the YAML file; its key `extends` names another file beside it.
        overrides: texts of the form `a.b=value`, later ones win.

    Raises:
        InputError: the file, a key or a value can't be used; the message names it.
    """
    raw = _read_extended(path, ())
    for override in overrides:
        _apply_override(raw, override)
    return validate_config(raw, str(path))


def validate_config(raw: dict[str, Any], source: str) -> Config:
    """Check plain values against the settings.

    Args:
        raw: nested plain values.
        source: what to call them in errors.

    Raises:
        InputError: names every key that is unknown, missing, mistyped or out of its bounds.
    """
    try:
        return ADAPTER.validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        raise InputError(f"{source}: " + "; ".join(_describe(error))) from error


def override_config(config: Config, overrides: Sequence[str]) -> Config:
    """The same config with some settings changed.

    Args:
        config: the config of a finished run.
        overrides: texts of the form `a.b=value`; only `engine`, `data` and `sampling` can still
            change.

    Raises:
        InputError: a key is another one, unknown, or its value can't be used.
    """
    raw = config.model_dump(mode="json")
    for override in overrides:
        if not override.startswith(("engine=", "data.", "sampling.")):
            raise InputError(
                f"--set {override}: only engine, data.* and sampling.* can change after training"
            )
        _apply_override(raw, override)
    return validate_config(raw, "the checkpoint's config")


def config_to_yaml(config: Config) -> str:
    """Write a config as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read_extended(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in children:
        raise InputError(f"{path}: extends itself")
    raw = read_yaml(path)
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    base = _read_extended(path.parent / str(parent), (*children, path.resolve()))
    return _merge(base, raw)


def _merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        both_nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both_nested else value
    return merged


def _apply_override(raw: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    keys = name.split(".")
    if not equals or not all(keys):
        raise InputError(f"--set {override}: must read a.b=value")
    block = raw
    for key in keys[:-1]:
        block = block.setdefault(key, {})
        if not isinstance(block, dict):
            raise InputError(f"--set {override}: {key} is a single value, not a block")
    block[keys[-1]] = parse_yaml(text, f"--set {override}")


def _describe(error: ValidationError) -> Iterable[str]:
    for item in error.errors():
        # The first part of a place is the stage, which is no key.
        key = ".".join(str(part) for part in item["loc"][1:])
        value = "" if item["type"] in ("missing", "model_type") else f" = {item['input']!r}"
        yield f"{key or 'config'}{value}: {item['msg']}"
