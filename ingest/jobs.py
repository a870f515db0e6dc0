"""What a job's body asks for, checked against the catalogue: everything that a submit needs before it is sent."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from infra.http.problems import FieldError, Problem, bad_field, bad_fields
from infra.http.refusals import problem_of
from infra.http.requests import decode_json
from infra.sealing.content import JobSecrets, encode_secrets
from ingest.ports import Size
from ingest.shapes import METADATA_BYTES_MAX, JobRequest, params_decoder
from schemas.catalogue import Catalogue, Entry, ValidParams, validate_input, validate_params
from schemas.refusals import ModelUnknown

_CACHED_MAX = 4096
_CACHED_BYTES_MAX = 512
_UNKNOWN_SIZE = (1, 1)  # of a picture that nobody knows yet: whether it is there is the decider's to say
_CONTENT_DOMAIN = b"darkroom job content\n"
_canonical = msgspec.json.Encoder(order="deterministic")
_encoder = msgspec.json.Encoder()


class CheckedParams(msgspec.Struct, frozen=True):
    """Valid parameters: `values` travel in clear, `texts` (free text, such as prompts) sealed.

    `canonical` is what a repeat under the same key must equal, whatever the order of its members.
    """

    entry: Entry
    values: ValidParams
    texts: dict[str, str]
    canonical: bytes


class CheckedJob(msgspec.Struct, frozen=True):
    """A job as it was asked for, with valid parameters; `input` and `mask` name assets of the account.

    `bytes_of` is the sha256 of an input that came with the very request, `mask_bytes_of` that of such a mask: a repeat
    brings another asset of equal bytes.
    """

    params: CheckedParams
    input: str | None
    mask: str | None
    metadata: dict[str, Any] | None
    bytes_of: str | None = None
    mask_bytes_of: str | None = None

    @property
    def model(self) -> str:
        """The slug."""
        return self.params.entry.slug

    @property
    def cost(self) -> int:
        """The price by this gateway's catalogue; the decider's plan has the last word."""
        return self.params.entry.cost.price(self.params.values)

    @property
    def assets(self) -> Iterator[str]:
        """The assets that it names."""
        return (asset for asset in (self.input, self.mask) if asset is not None)

    @property
    def content(self) -> Sequence[object]:
        """What a repeat under the same idempotency key must equal."""
        content = (self.model, self.bytes_of or self.input, self.params.canonical, self.metadata)
        return content if self.mask is None else (*content, self.mask_bytes_of or self.mask)

    @property
    def secrets(self) -> bytes | None:
        """What has to be sealed, None where there is nothing."""
        if not self.metadata and not self.params.texts:
            return None
        return encode_secrets(JobSecrets(self.metadata, self.params.texts))

    def content_hash(self, identifier_key: bytes, account: str) -> str | None:
        """A keyed hash (hex) of the personal texts, by which equal jobs of the account are known; None without any.

        Bound to the account and to this purpose, so that it tells nothing to who lacks the key, nor across accounts.
        """
        if not self.params.texts:
            return None
        message = _CONTENT_DOMAIN + account.encode() + b"\n" + _canonical.encode(self.params.texts)
        return hmac.digest(identifier_key, message, "sha256").hex()[:32]


class ParamsChecker:
    """Checks parameters; what many requests have alike is checked once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._entries = {entry.slug: entry for entry in catalogue.models}
        self._known: dict[tuple[str, bytes], CheckedParams] = {}

    def check(self, body: JobRequest, product: str) -> CheckedParams:
        """The parameters with defaults filled in. Raises Problem 400 naming every bad field.

        A model that is not offered to the product is one that does not exist.
        """
        entry = self._entries.get(body.model)
        if entry is None or not entry.offered_to(product):
            raise problem_of(ModelUnknown(body.model), 0)
        raw = bytes(body.params)
        known = self._known.get((body.model, raw))
        if known is not None:
            return known
        params = decode_json(raw, params_decoder, "params")
        checked = _checked(entry, params)
        if not checked.texts and len(raw) <= _CACHED_BYTES_MAX:
            if len(self._known) >= _CACHED_MAX:
                self._known.clear()
            self._known[body.model, raw] = checked
        return checked

    def job(self, body: JobRequest, product: str) -> CheckedJob:
        """The whole job but for its pictures' sizes and a URL. Raises Problem 400 naming every bad field."""
        params, given = self.check(body, product), body.input
        if given is not None and given.asset is None and given.url is None and params.entry.input != "none":
            raise bad_field("input", 'Name one of your assets, as `{"asset": …}`, or a picture, as `{"url": …}`.')
        if body.metadata and len(_encoder.encode(body.metadata)) > METADATA_BYTES_MAX:
            raise bad_field("metadata", f"This must have at most {METADATA_BYTES_MAX} bytes as JSON.")
        if given is None:
            return CheckedJob(params, None, None, body.metadata)
        return CheckedJob(params, given.asset or "", given.mask, body.metadata)


def input_problem(job: CheckedJob, sizes: Mapping[str, Size]) -> Problem | None:
    """Why the model cannot work on these pictures, as 400; one whose size is not known is the decider's."""
    entry = job.params.entry
    if job.input is None and job.mask is None and entry.input == "none":
        return None
    known = None if job.input is None else sizes.get(job.input)
    size = None if job.input is None else known or _UNKNOWN_SIZE
    mask = None
    if job.mask is not None:
        mask = (sizes.get(job.mask) if known else None) or size or _UNKNOWN_SIZE
    problems = validate_input(entry, job.params.values, size, mask)
    if not problems:
        return None
    return bad_fields([FieldError(_FIELDS.get(problem.field, problem.field), problem.message) for problem in problems])


def of_item(problem: Problem, number: int) -> Problem:
    """The problem of one of several jobs, its fields named under `jobs[<number>]`."""
    root = f"jobs[{number}]"
    errors = [FieldError(root if e.field == "body" else f"{root}.{e.field}", e.message) for e in problem.errors]
    if not errors:
        return problem
    return bad_fields(errors, status=problem.status, code=problem.code)


_FIELDS = {"mask": "input.mask"}


def _checked(entry: Entry, params: dict[str, Any]) -> CheckedParams:
    valid = validate_params(entry, params)
    if isinstance(valid, list):
        raise bad_fields([FieldError(problem.field, problem.message) for problem in valid])
    return CheckedParams(entry, valid.params, valid.texts, _canonical.encode(params))
