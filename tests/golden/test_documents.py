"""Stored examples and JSON Schemas: what one release wrote, every later one reads and writes back the same."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from schemas.documents import GOLDEN, KINDS, Kind, example, golden_files, json_schemas, type_name

FILES = list(golden_files())
SCHEMAS = list(json_schemas())
FRAMES = {"commands": "commands", "outcomes": "commands", "events": "events", "refusals": "events"}


@pytest.mark.parametrize(("kind", "message", "path"), FILES, ids=[f"{k.name}-{p.stem}" for k, _, p in FILES])
def test_a_stored_example_is_read_and_written_back_the_same(
    kind: Kind, message: type[msgspec.Struct], path: Path
) -> None:
    assert path.exists(), f"{path} is missing; python -m schemas.documents writes it"
    stored = path.read_bytes().removesuffix(b"\n")
    decoded = kind.decode(stored)
    assert kind.encode(decoded) == stored
    assert decoded == example(kind, message), "the type has fields that its stored example does not show"


@pytest.mark.parametrize(("kind", "message", "path"), FILES, ids=[f"{k.name}-{p.stem}" for k, _, p in FILES])
def test_a_stored_example_is_valid_under_the_stored_schema(
    kind: Kind, message: type[msgspec.Struct], path: Path
) -> None:
    value = json.loads(path.read_bytes())
    (value,) = value if isinstance(value, list) else [value]
    frame = json.loads((GOLDEN / "json_schema" / f"{FRAMES.get(kind.name, kind.name)}.json").read_bytes())
    Draft202012Validator(frame).validate(value)
    if kind.field:
        own = json.loads((GOLDEN / "json_schema" / f"{kind.name}.{type_name(kind, message)}.json").read_bytes())
        Draft202012Validator(own).validate(_inner(value, kind.name))


def _inner(value: dict[str, Any], name: str) -> Any:
    match name:
        case "commands":
            return value["command"]
        case "outcomes":
            return value["command"]["outcome"]
        case "events":
            return value["data"]
        case "refusals":
            return value["data"]["refusal"]
        case "sessions":
            return value["fact"]
        case _:
            return value["answer"]


@pytest.mark.parametrize(("path", "content"), SCHEMAS, ids=[path.stem for path, _ in SCHEMAS])
def test_a_stored_schema_is_the_one_of_the_code(path: Path, content: bytes) -> None:
    Draft202012Validator.check_schema(json.loads(content))
    assert path.read_bytes() == content, "run python -m schemas.documents and look at the difference"


def test_nothing_else_is_stored() -> None:
    known = {path for _, _, path in FILES} | {path for path, _ in SCHEMAS}
    assert {path for path in GOLDEN.rglob("*") if path.is_file()} == known


def test_every_type_of_every_union_has_an_example() -> None:
    counts = {kind.name: len(kind.types) for kind in KINDS}
    assert counts == {
        "commands": 23,
        "events": 41,
        "outcomes": 2,
        "refusals": 23,
        "replies": 13,
        "work": 1,
        "sessions": 2,
        "accesses": 1,
        "purge": 1,
    }


def test_a_reader_of_today_reads_messages_with_fields_of_tomorrow() -> None:
    for kind, _, path in FILES:
        value = json.loads(path.read_bytes())
        target = value[0] if isinstance(value, list) else value
        target["from_tomorrow"] = {"nested": [1]}
        assert kind.decode(json.dumps(value).encode()) == kind.decode(path.read_bytes())
