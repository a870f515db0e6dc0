"""What a job's body asks for, checked against the catalogue: everything that a submit needs before it is sent."""

from __future__ import annotations

from typing import Any

import msgspec

from infra.http.problems import FieldError, bad_fields
from infra.http.refusals import problem_of
from infra.http.requests import decode_json
from ingest.shapes import JobRequest, params_decoder
from schemas.catalogue import Catalogue, Entry, ValidParams, validate_params
from schemas.refusals import ModelUnknown

_CACHED_MAX = 4096
_CACHED_BYTES_MAX = 512
_canonical = msgspec.json.Encoder(order="deterministic")


class CheckedParams(msgspec.Struct, frozen=True):
    """Valid parameters: `values` travel in clear, `texts` (free text, such as prompts) sealed.

    `canonical` is what a repeat under the same key must equal, whatever the order of its members.
    """

    entry: Entry
    values: ValidParams
    texts: dict[str, str]
    canonical: bytes


class ParamsChecker:
    """Checks parameters; what many requests have alike is checked once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._entries = {entry.slug: entry for entry in catalogue.models}
        self._known: dict[tuple[str, bytes], CheckedParams] = {}

    def check(self, body: JobRequest) -> CheckedParams:
        """The parameters with defaults filled in. Raises Problem 400 naming every bad field."""
        raw = bytes(body.params)
        known = self._known.get((body.model, raw))
        if known is not None:
            return known
        entry = self._entries.get(body.model)
        if entry is None:
            raise problem_of(ModelUnknown(body.model), 0)
        params = decode_json(raw, params_decoder, "params")
        checked = _checked(entry, params)
        if not checked.texts and len(raw) <= _CACHED_BYTES_MAX:
            if len(self._known) >= _CACHED_MAX:
                self._known.clear()
            self._known[body.model, raw] = checked
        return checked


def _checked(entry: Entry, params: dict[str, Any]) -> CheckedParams:
    valid = validate_params(entry, params)
    if isinstance(valid, list):
        raise bad_fields([FieldError(problem.field, problem.message) for problem in valid])
    return CheckedParams(entry, valid.params, valid.texts, _canonical.encode(params))
