"""What happens to a work item: pure decisions over the item and facts.

Theory of operation
-------------------
An item is delivered at least once and may be stale: the lease that came with it decides (design section 2, point 15).
`begin` drops what nobody waits for and begins the rest. A failure is put into one of four causes, which say whose
failure it was: `permanent` ends the job, `transient` costs it an attempt, `engine-unavailable` costs it nothing and
`engine-crashed` nothing but suspicion, which the decider counts. A
dispatcher tries again by itself only where the fault is around it (store, engine not reached) and soon over; every
other retry is the decider's, which counts attempts and knows who waits. A lease is renewed three times before it would
end, so one lost renewal loses nothing.
"""

from __future__ import annotations

import msgspec

from infra.s3.store import IntegrityError, ObjectNotFound, StoreUnavailable
from infra.sealing.keys import KeyStoreUnavailable
from infra.triton.engine import EngineCrashed, EngineUnavailable, PermanentFailure, TransientFailure
from processors.dispatch.engines import CrashedAlone
from processors.dispatch.media import InputUndecodable, MediaUnavailable
from processors.dispatch.production import TextsUnfit
from processors.dispatch.secrets import Erased
from schemas.catalogue import Catalogue, Entry, validate_input, validate_public
from schemas.commands import Failed
from schemas.work import WorkItem

RETRY_PAUSES_MS = (50, 150, 400)
_RENEWALS_A_LEASE = 3
_DETAIL_CHARACTERS_MAX = 300


class Begin(msgspec.Struct, frozen=True):
    """Work on the attempt until `run_until_ms`, renewing its lease every `renew_every_ms`."""

    entry: Entry
    renew_every_ms: int
    run_until_ms: int


class Drop(msgspec.Struct, frozen=True):
    """Do nothing and tell nobody: the decider has moved on."""

    reason: str


class Report(msgspec.Struct, frozen=True):
    """Record that the attempt failed."""

    failed: Failed


class RetryHere(msgspec.Struct, frozen=True):
    """Try the same attempt again after `pause_ms`."""

    pause_ms: int


def begin(item: WorkItem, catalogue: Catalogue, now_ms: int) -> Begin | Drop | Report:
    """Decide about an item that was just received."""
    if now_ms >= item.lease_until_ms:
        return Drop("lease-over")
    if now_ms >= item.run_until_ms:
        return Drop("run-time-over")
    entry = catalogue.entry(item.model)
    if entry is None:
        return Report(failed("transient", "model-unknown", f"This dispatcher's catalogue has no {item.model}."))
    problem = _problem(item, entry)
    if problem is not None:
        return Report(failed("permanent", "request-invalid", problem))
    return Begin(entry, max(1, item.lease_ms // _RENEWALS_A_LEASE), item.run_until_ms)


def after_failure(item: WorkItem, error: Exception, tried: int, now_ms: int) -> RetryHere | Report:
    """Decide after the attempt's `tried`-th try in this dispatcher failed with `error`."""
    failure = classify(error)
    around_us = isinstance(error, StoreUnavailable | EngineUnavailable | KeyStoreUnavailable) and not item.quarantine
    if around_us and tried <= len(RETRY_PAUSES_MS):
        pause_ms = RETRY_PAUSES_MS[tried - 1]
        if now_ms + pause_ms < item.run_until_ms:
            return RetryHere(pause_ms)
    return Report(failure)


def classify(error: Exception) -> Failed:
    """Put a failure into its cause. What nobody foresaw is transient: it ends after the job's attempts."""
    match error:
        case PermanentFailure(reason=reason):
            return failed("permanent", "model-failed", reason)
        case TransientFailure(reason=reason):
            return failed("transient", "model-failed", reason)
        case EngineCrashed(reason=reason):
            return failed("engine-crashed", "engine-crashed", reason)
        case CrashedAlone():
            return failed("permanent", "crashes-engine", "The engine died of this job, which was alone in it.")
        case EngineUnavailable(reason=reason):
            return failed("engine-unavailable", "engine-unavailable", reason)
        case InputUndecodable():
            return failed("permanent", "input-undecodable", str(error))
        case ObjectNotFound():
            return failed("permanent", "input-gone", "The bytes of the input are gone.")
        case Erased():
            return failed("permanent", "erased", str(error))
        case TextsUnfit():
            return failed("permanent", "request-invalid", str(error))
        case KeyStoreUnavailable():
            return failed("transient", "keys-unavailable", "The keys of the account could not be read.")
        case IntegrityError():
            return failed("transient", "input-corrupt", "The input's bytes are not those that were uploaded.")
        case StoreUnavailable():
            return failed("transient", "store-unavailable", "The object store did not answer.")
        case MediaUnavailable():
            return failed("transient", "media-unavailable", str(error))
        case TimeoutError():
            return failed("transient", "run-deadline", "The attempt ran out of time.")
        case _:
            return failed("transient", "dispatcher-fault", f"The dispatcher failed: {type(error).__name__}.")


def stopped() -> Failed:
    """Say that this dispatcher gave the attempt back unfinished; that is nobody's failure."""
    return failed("engine-unavailable", "dispatcher-stopped", "The dispatcher was stopped before the attempt ended.")


def failed(cause: str, reason: str, detail: str) -> Failed:
    """Make the outcome; a long detail is cut."""
    return msgspec.convert({"kind": "failed", "cause": cause, "reason": reason, "detail": _cut(detail)}, Failed)


def _problem(item: WorkItem, entry: Entry) -> str | None:
    """Whether the item asks for what this catalogue allows; normally ingest has refused everything else."""
    params = validate_public(entry, item.params)
    if isinstance(params, list):
        return f"{params[0].field}: {params[0].message}"
    size = None if item.input is None else (item.input.width, item.input.height)
    mask = None if item.mask is None else (item.mask.width, item.mask.height)
    problems = validate_input(entry, params, size, mask)
    return f"{problems[0].field}: {problems[0].message}" if problems else None


def _cut(detail: str) -> str:
    return detail if len(detail) <= _DETAIL_CHARACTERS_MAX else detail[: _DETAIL_CHARACTERS_MAX - 1] + "…"
