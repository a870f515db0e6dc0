"""JSON Schemas and stored examples of everything that travels: what the outside builds on, and what a change shows in.

`python -m schemas.documents` writes the schemas anew and the examples that are missing. An example is never written
over: it is what an earlier release put on a topic, and every later one has to read it and to write it back the same.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from schemas.accesses import AccessRecord, decode_accesses, encode_accesses
from schemas.commands import AnyCommand, Envelope, Failed, RecordOutcome, Succeeded, decode_command, encode_command
from schemas.events import AnyEvent, CommandRefused, Event, decode_event, encode_event
from schemas.refusals import AnyRefusal
from schemas.replies import AnyAnswer, Reply, decode_replies, encode_replies
from schemas.sessions import AnySessionFact, SessionRecord, decode_session, encode_session
from schemas.work import PurgeItem, WorkItem, decode_purge, decode_work, encode_work

GOLDEN = Path(__file__).parent / "golden"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
WORDS = {
    "position": "3.1041.7.0",
    "of": "3.1041.7.0",
    "lot": "3.1041.7.0",
    "purge": "3.1041.7.0",
    "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "product": "darkroom",
    "plan": "default",
    "lane": "standard",
    "model": "classical/upscale",
    "engine": "classical_upscale",
    "format": "jpeg",
    "sealed": "k_aaaa.bm9uY2U.c2VhbGVk",
    "subject": "k_aaaa.bm9uY2U.c2VhbGVk",
    "engine_version": "1",
    "actor": "user",
    "status": "succeeded",
    "key": "acct_aaaaaaaaaaaaaaaaaaaaaaaaaa/job_aaaaaaaaaaaaaaaaaaaaaaaaaa/1",
    "output_key": "acct_aaaaaaaaaaaaaaaaaaaaaaaaaa/job_aaaaaaaaaaaaaaaaaaaaaaaaaa/1",
    "dispatcher": "dispatcher-0",
    "correlation": "c-17",
    "detail": "One sentence.",
    "reason": "a-word",
}
DURATIONS = {"model_ms", "lease_ms", "start_ms", "running_ms", "run_deadline_ms", "queue_ttl_ms", "every_ms"}
MINTED = {
    "account": "acct",
    "job": "job",
    "made": "job",
    "object": "asset",
    "asset": "asset",
    "input": "asset",
    "mask": "asset",
    "album": "album",
    "group": "group",
    "id": "cmd",
    "command": "cmd",
    "gateway": "gw",
}


class Kind(msgspec.Struct, frozen=True):
    """One kind of message: its type, the field that tells its types apart, and how it is written and read."""

    name: str
    frame: type[msgspec.Struct]
    field: str
    types: tuple[type[msgspec.Struct], ...]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _decode_reply(value: bytes) -> Reply:
    (reply,) = decode_replies(value)
    return reply


KINDS = (
    Kind("commands", Envelope, "command", get_args(AnyCommand), encode_command, decode_command),
    Kind("events", Event, "data", get_args(AnyEvent), encode_event, decode_event),
    Kind("outcomes", Envelope, "outcome", (Succeeded, Failed), encode_command, decode_command),
    Kind("refusals", Event, "refusal", get_args(AnyRefusal), encode_event, decode_event),
    Kind("replies", Reply, "answer", get_args(AnyAnswer), lambda reply: encode_replies([reply]), _decode_reply),
    Kind("work", WorkItem, "", (WorkItem,), encode_work, decode_work),
    Kind("sessions", SessionRecord, "fact", get_args(AnySessionFact), encode_session, decode_session),
    Kind("accesses", AccessRecord, "", (AccessRecord,), encode_accesses, decode_accesses),
    Kind("purge", PurgeItem, "", (PurgeItem,), encode_work, decode_purge),
)


def type_name(kind: Kind, message: type[msgspec.Struct]) -> str:
    """The word that names the message's type on the wire."""
    return str(message.__struct_config__.tag) if kind.field else f"{kind.name}-item"


def golden_files() -> Iterator[tuple[Kind, type[msgspec.Struct], Path]]:
    """Where the example of each type stands."""
    for kind in KINDS:
        for message in kind.types:
            yield kind, message, GOLDEN / kind.name / f"{type_name(kind, message)}.v1.json"


def json_schemas() -> Iterator[tuple[Path, bytes]]:
    """The JSON Schema of each kind's frame and of each type in it, in canonical form."""
    for kind in KINDS:
        if kind.name not in ("refusals", "outcomes"):  # parts of messages, not frames of their own
            yield _schema_path(kind.name), _schema(kind.frame, kind.name)
        for message in kind.types if kind.field else ():
            name = f"{kind.name}.{type_name(kind, message)}"
            yield _schema_path(name), _schema(message, name)


def example(kind: Kind, message: type[msgspec.Struct]) -> msgspec.Struct:
    """A message of the type with a value in every field; the same each time."""
    if not kind.field:
        return _example_of(message)
    inner = _example_of(message)
    if kind.name == "refusals":
        return _example_of(Event, data=CommandRefused("submit-job", inner))  # type: ignore[arg-type]
    if kind.name == "outcomes":
        return _example_of(Envelope, command=_example_of(RecordOutcome, outcome=inner))
    return _example_of(kind.frame, **{kind.field: inner})


def write_documents() -> list[Path]:
    """Write every schema that changed and every example that is missing; what was written."""
    wanted = [(path, content) for path, content in json_schemas() if not _holds(path, content)]
    wanted += [
        (path, kind.encode(example(kind, message)) + b"\n")
        for kind, message, path in golden_files()
        if not path.exists()
    ]
    for path, content in wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return [path for path, _ in wanted]


def _holds(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


def _schema_path(name: str) -> Path:
    return GOLDEN / "json_schema" / f"{name}.json"


def _schema(message: type[msgspec.Struct], name: str) -> bytes:
    schema = {"$schema": DIALECT, "$id": f"darkroom:{name}.v1", **msgspec.json.schema(message)}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def _example_of(message: type[msgspec.Struct], **given: msgspec.Struct) -> msgspec.Struct:
    kind = msgspec.inspect.type_info(message)
    assert isinstance(kind, msgspec.inspect.StructType)
    return message(**{field.name: given.get(field.name) or _value(field.name, field.type) for field in kind.fields})


def _value(name: str, kind: msgspec.inspect.Type) -> Any:
    """A value of the type that looks like what a field of this name holds."""
    match kind:
        case msgspec.inspect.StrType():
            return WORDS.get(name) or (f"{MINTED[name]}_" + "a" * 26 if name in MINTED else f"some-{name}")
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.IntType():
            return _number(name)
        case msgspec.inspect.LiteralType(values=values):
            return values[0]
        case msgspec.inspect.StructType(cls=cls):
            return _example_of(cls)
        case msgspec.inspect.DictType(value_type=inner):
            return {"scale": _value("scale", inner)}
        case msgspec.inspect.TupleType(item_types=inners):
            return tuple(_value(name, inner) for inner in inners)
        case msgspec.inspect.VarTupleType(item_type=inner):
            return (_value(name.removesuffix("s"), inner),)
        case msgspec.inspect.UnionType(types=types):
            return _value(name, next((t for t in types if isinstance(t, msgspec.inspect.IntType)), types[0]))
    raise TypeError(f"{name}: no example for {kind}")


def _number(name: str) -> int:
    if name in ("schema", "version", "attempt", "number"):
        return 1
    if name in DURATIONS or name.startswith("retry_backoff"):
        return 15_000
    return 1_800_000_000_000 if name.endswith("_ms") else 2


def main() -> None:
    """Write what is missing or changed, and say what."""
    for path in write_documents():
        sys.stdout.write(f"{path.relative_to(GOLDEN.parent.parent)}\n")


if __name__ == "__main__":
    main()
