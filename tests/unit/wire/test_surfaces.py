"""What all documented contracts have alike: each words every refusal and every fault of the core in its own shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from infra.cli.gateway import operations_of
from infra.http.application import surfaces_of
from infra.http.problems import _CODES
from schemas import refusals as no
from schemas.wire.surface import JSON, Fault, FieldFault, Surface, WireAnswer

SURFACES = {surface.title: surface for surface in surfaces_of(operations_of("all"))}
DOCUMENTED = {"ai-image", "pix-loom", "spike-land", "workspace-images", "studio"}
REFUSALS = get_args(no.AnyRefusal)
FAULTS = sorted(_CODES.items())
MORE_CODES = (
    (401, "token-invalid"),
    (403, "csrf"),
    (403, "foreign-origin"),
    (400, "invalid-field"),
    (400, "remote-picture"),
    (400, "unreadable-picture"),
    (400, "picture-too-large"),
    (413, "content-too-large"),
    (415, "unsupported-picture"),
    (410, "gone"),
    (503, "outcome-unknown"),
    (503, "behind"),
    (503, "overloaded"),
    (503, "not-reached"),
)
ENGLISH = re.compile(r"\b(?:the|this|must|was|is not|cannot|try again|account)\b", re.IGNORECASE)
LANGUAGES = {"ai-image": "German", "pix-loom": "Chinese"}


def example(refusal: type[Any]) -> Any:
    """A refusal of the type, its fields filled by their types."""
    values = {"str": "asset_x", "int": 7, "int | None": 4}
    hints = get_type_hints(refusal)
    words = {name: str(getattr(hint, "__name__", hint)) for name, hint in hints.items() if not name.startswith("__")}
    return refusal(**{name: values[words[name]] for name in refusal.__struct_fields__})


def worded(surface: Surface, **fault: Any) -> WireAnswer:
    given = {"status": 400, "code": "bad-request", "detail": "The core's own words.", "now_ms": 1_800_000_000_000}
    return surface.fault(Fault(**{**given, **fault}))


def texts(value: Any) -> Iterator[str]:
    """Every text in a document, without the words of codes."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in ("code", "type", "errorType", "field"):
                yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def test_all_five_documents_have_a_surface() -> None:
    assert {surface.product for surface in SURFACES.values()} == DOCUMENTED


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__struct_config__.tag)
@pytest.mark.parametrize("title", SURFACES)
def test_every_refusal_has_words_of_its_own(title: str, refusal: type[Any]) -> None:
    surface, one = SURFACES[title], example(refusal)
    expected = 503 if refusal is no.PlanMissing else 499
    answer = worded(surface, refusal=one, code=refusal.__struct_config__.tag, status=409)
    assert 400 <= answer.status <= expected or answer.media != JSON or answer.status == 303, answer
    strange = worded(surface, code="a-code-that-nobody-knows", status=500)
    told, untold = (answer.status, answer.document, answer.text), (strange.status, strange.document, strange.text)
    assert told != untold, "it is told as if nobody knew what went wrong"
    if answer.media == JSON and answer.document is not None:
        assert any(texts(answer.document)), "nothing is said"
        assert msgspec.json.encode(answer.document)


@pytest.mark.parametrize("title", SURFACES)
@pytest.mark.parametrize(("status", "code"), [*FAULTS, *MORE_CODES], ids=lambda value: str(value))
def test_every_fault_of_the_core_is_told_in_the_contracts_shape(title: str, status: int, code: str) -> None:
    surface = SURFACES[title]
    field = FieldFault("input.asset", "This must be English.")
    for fields in ((), (field,)):
        answer = worded(surface, status=status, code=code, fields=fields, retry_after_s=7)
        assert answer.status >= 300
        assert (answer.status >= 500) == (status >= 500), "a fault of the client is none of the server, and back"
        if answer.media == JSON:
            assert answer.document, "an error has a body"


@pytest.mark.parametrize("product", LANGUAGES)
def test_no_english_sentence_of_the_core_leaks_into_another_language(product: str) -> None:
    surface = next(surface for surface in SURFACES.values() if surface.product == product)
    answers = [worded(surface, refusal=example(refusal)) for refusal in REFUSALS]
    answers += [
        worded(surface, status=status, code=code, detail="The server must try again; this is not the account.")
        for status, code in (*FAULTS, *MORE_CODES)
    ]
    fields = (FieldFault("params.scale", "This must be one of 2, 4."),)
    answers.append(worded(surface, status=400, code="invalid-field", fields=fields))
    leaked = [text for answer in answers for text in texts(answer.document) if ENGLISH.search(text)]
    assert not leaked
