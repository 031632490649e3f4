"""Settings from YAML with `extends` and `a.b=value` overrides."""

import json
import math
import operator
import re
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import ValidationError

from radarsparse.config.settings import STAGES, Config
from radarsparse.errors import InputError

# Of a file, and of what its aliases unfold to.
CHARACTERS_MAX = 300_000
_DEPTH_MAX = 50
_INTEGER = re.compile(r"[-+]?(0|[1-9](_?[0-9])*)$")
_DECIMAL = re.compile(r"[-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$")

_FAULTS_MAX = 3
_SHOWN_MAX, _LINE_MAX = 60, 500
# Where pydantic's own are not "Input should be ...".
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is no key here",
    "model_type": "must be a block of keys",
    "value_error": "{error}",
    "json_invalid": "holds a text or a nesting that JSON can't hold",
}


class _Loader(yaml.SafeLoader):
    """YAML whose words mean one thing each, and which unfolds to no more than a bounded size.

    Whatever isn't plainly null, true, false or a decimal number is text: dates, `1:30`, `.inf`.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  (as the base class has it)
        first: [(tag, words) for tag, words in pairs if tag.endswith((":null", ":bool"))]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str, characters_max: int) -> None:
        super().__init__(text)
        self._characters_max = characters_max
        self._measured: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Read one value, and add up how large and how deep it is once its aliases are unfolded."""
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:
            _refuse(event, f"the tag {event.tag} is not known here; leave it out")
        node: Any = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent):
            if node not in self._measured:
                _refuse(event, f"the alias *{event.anchor} stands inside what it names")
            return node
        if isinstance(node, yaml.ScalarNode):
            inner = [(len(node.value), 0)]
        else:
            mapped = isinstance(node, yaml.MappingNode)
            inner = [self._measured[v] for v in (chain(*node.value) if mapped else node.value)]
        size = 1 + sum(size for size, _ in inner)
        depth = 1 + max((depth for _, depth in inner), default=0)
        self._measured[node] = size, depth
        if size > self._characters_max:
            most = f"{self._characters_max:,}"
            _refuse(node, f"unfolds to more than {most} characters and values")
        if depth > _DEPTH_MAX:
            _refuse(node, f"nests more than {_DEPTH_MAX} deep")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                _refuse(key_node, "a list or a block can't be a key")
            key = self.construct_object(key_node)
            if key in seen:
                _refuse(key_node, f"key {key!r} stands twice; keep one")
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > 20 or not -(2**63) <= int(node.value) < 2**63:
            _refuse(node, f"{node.value:.20}: must be a whole number of at most 64 bits")
        return int(node.value)

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        if not math.isfinite(float(node.value)):
            _refuse(node, f"{node.value:.20}: is too large for a number")
        return float(node.value)


for _kind, _pattern in (("int", _INTEGER), ("float", _DECIMAL)):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _pattern, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


class _Dumper(yaml.SafeDumper):
    """Puts texts in quotes that the loader would take for numbers."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _DECIMAL, list("-+.0123456789"))


def to_yaml(content: Any, **options: Any) -> str:
    """Plain values as YAML that `parse_yaml` reads back to equal ones.

    Args:
        content: nested dicts, lists, texts and numbers.
        options: of `yaml.dump`.
    """
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, **options)


def _refuse(place: Any, problem: str) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def parse_yaml(text: str, source: str, characters_max: int = CHARACTERS_MAX) -> Any:
    """Parse YAML text strictly.

    Args:
        text: the document.
        source: what to call it in errors, usually the file's path.
        characters_max: of the text, and of what its aliases unfold to.

    Returns:
        Nested dicts, lists, texts, finite numbers that fit into 64 bits, booleans and None.

    Raises:
        InputError: the text is no YAML, holds a doubled key, or is too large or too deep.
    """
    if len(text) > characters_max:
        raise InputError(f"{source}: has more than {characters_max:,} characters")
    loader: Any = partial(_Loader, characters_max=characters_max)
    try:
        return yaml.load(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{source}: line {line}: {error.problem!s:.{_LINE_MAX}}") from error
    except yaml.reader.ReaderError as error:
        at = f"{error.character:#04x} at position {error.position}"
        raise InputError(f"{source}: character {at} can't stand in a text") from error
    except RecursionError as error:
        raise InputError(f"{source}: nests more than {_DEPTH_MAX} deep") from error
    except (ValueError, OverflowError) as error:
        raise InputError(f"{source}: holds an escape that means no character") from error


def read_yaml(path: Path, characters_max: int = CHARACTERS_MAX) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping, bounded as by `parse_yaml`.

    Raises:
        InputError: the file is missing, no YAML, or no mapping.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(characters_max + 1)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: can't be read: byte {error.start} is no UTF-8") from error
    content = parse_yaml(text, str(path), characters_max)
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
    apply_overrides(raw, overrides)
    return validate_config(raw, str(path))


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> None:
    """Change nested plain values in place.

    Args:
        raw: what `validate_config` is to check.
        overrides: texts of the form `a.b=value`, later ones win.

    Raises:
        InputError: one has another form, or its value is no YAML.
    """
    for override in overrides:
        _apply_override(raw, override)


def validate_config(raw: Any, source: str) -> Config:
    """Check nested plain values, which errors call `source`, against the settings.

    Raises:
        InputError: names every key that is unknown, missing, mistyped or out of its bounds.
    """
    stage = raw.get("stage") if isinstance(raw, dict) else None
    if str(stage) not in STAGES:
        names = ", ".join(STAGES)
        raise InputError(f"{source}: stage = {_show(stage)}: must be one of {names}")
    try:
        return STAGES[str(stage)].model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        raise InputError(f"{source}: {describe_faults(error)}") from error


def describe_faults(error: ValidationError) -> str:
    """What is wrong with which keys of a block of settings, in one line."""
    faults = error.errors(include_url=False)
    found = []
    for fault in faults[:_FAULTS_MAX]:
        key, value = ".".join(map(str, fault["loc"])), fault["input"]
        words = _WORDS.get(fault["type"], "{}").format(fault["msg"], **fault.get("ctx", {}))
        words = words.replace("Input should", "must").replace("Tuple should", "must")
        hidden = fault["type"] == "missing" or isinstance(value, dict)
        found.append(f"{key}{'' if hidden else f' = {_show(value)}'}: {words}" if key else words)
    if len(faults) > _FAULTS_MAX:
        found.append(f"and {len(faults) - _FAULTS_MAX} more")
    return "; ".join(found)[:_LINE_MAX]


def override_config(config: Config, overrides: Sequence[str]) -> Config:
    """The same config with some settings changed.

    Args:
        config: the config of a finished run.
        overrides: texts of the form `a.b=value`; only `engine`, `data` and `sampling` can still
            change. Another `data.root` has other frames: `data.split` then no longer holds.

    Raises:
        InputError: a key is another one, unknown, or its value can't be used.
    """
    raw = config.model_dump(mode="json")
    for override in overrides:
        if not override.startswith(("engine=", "data.", "sampling.")):
            raise InputError(
                f"--set {override}: only engine, data.* and sampling.* can change after training"
            )
        if override.startswith("data.root="):
            raw["data"]["split"] = None
        _apply_override(raw, override)
    return validate_config(raw, "the checkpoint's config")


def config_to_yaml(config: Config) -> str:
    """Write a config as YAML that `load_config` reads back to an equal one."""
    return to_yaml(config.model_dump(mode="json"))


def _read_extended(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    raw = read_yaml(path)
    if path.resolve() in children:
        raise InputError(f"{path}: extends itself")
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
        if block.get(key) is None:  # missing, or a block that is off
            block[key] = {}
        block = block[key]
        if not isinstance(block, dict):
            raise InputError(f"--set {override}: {key} is a single value, not a block")
    block[keys[-1]] = parse_yaml(text, f"--set {override}")


def check_whole(name: str, value: object, least: int, most: int) -> int:
    """A number that must be whole and within bounds.

    Raises:
        InputError: it isn't.
    """
    try:
        if not isinstance(value, bool):
            number = operator.index(value)  # pyright: ignore[reportArgumentType] (the question)
            if least <= number <= most:
                return number
    except TypeError:
        pass
    raise InputError(f"{name} = {_show(value)}: must be a whole number, {least} to {most}")


def _show(value: object) -> str:
    try:
        return f"{value!r:.{_SHOWN_MAX}}"
    except ValueError:  # Python prints no integers of thousands of digits
        return f"a {type(value).__name__} too long to print"
