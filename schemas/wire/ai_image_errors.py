"""Document 000, ai-image: everything that can go wrong, in the document's shape and in German. Pure.

The document gives the shape and two types; the others are named in its manner (`ErrorType`). Every refusal of the
decider has a row in `REFUSALS`, which a test keeps complete. No sentence of the core is passed on: what has no row here
gets the sentence of its status.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field

from schemas import refusals as no
from schemas.cloudevents import rfc3339
from schemas.wire.surface import Fault, WireAnswer

TEXT_CHARS_MAX = 4_000
OFFSET_MAX = 2**31 - 1
ErrorType = Literal[
    "validation_error",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "conflict",
    "gone",
    "rate_limited",
    "internal_error",
    "service_unavailable",
]
SLUGS = ("real-esrgan", "gfpgan", "codeformer", "sd15-img2img", "sdxl-img2img")
IMAGE_REQUIRED = "Bilddatei (field 'image') ist erforderlich"
MODEL_REQUIRED = "Modell (field 'model') ist erforderlich"
MODEL_UNKNOWN = f"Nicht unterstütztes Modell (Unsupported model, field 'model'): möglich sind {', '.join(SLUGS)}"
_PROMPT = f"darf höchstens {TEXT_CHARS_MAX} Zeichen lang sein und kein U+0000 enthalten"
_TOO_MANY_PIXELS = "Bild (field 'image') hat zu viele Pixel: höchstens 64 Megapixel"
FIELDS: Mapping[str, str] = {
    "image": "Bilddatei (field 'image') muss genau eine nicht leere Datei sein",
    "model": MODEL_UNKNOWN,
    "scale": "Upscaling-Faktor (field 'scale') muss 2 oder 4 sein",
    "face_enhance": "Gesichtsverbesserung (field 'face_enhance') muss true oder false sein",
    "prompt": f"Prompt (field 'prompt') {_PROMPT}",
    "negative_prompt": f"Negativer Prompt (field 'negative_prompt') {_PROMPT}",
    "strength": "Stärke (field 'strength') muss eine Zahl von 0.0 bis 1.0 sein",
    "guidance": "Guidance-Scale (field 'guidance') muss eine Zahl von 1.0 bis 20.0 sein",
    "steps": "Anzahl der Schritte (field 'steps') muss eine ganze Zahl von 10 bis 50 sein",
    "params.scale": "Das Ergebnis wäre zu groß (field 'scale'): höchstens 256 Megapixel",
    "input": _TOO_MANY_PIXELS,
    "body": "Die Anfrage muss ein vollständiges multipart/form-data sein",
    "content-type": "Content-Type muss multipart/form-data mit einer boundary sein",
    "status": "Parameter 'status' muss queued, processing, succeeded, failed oder canceled sein",
    "limit": "Parameter 'limit' muss eine ganze Zahl von 1 bis 100 sein",
    "offset": f"Parameter 'offset' muss eine ganze Zahl von 0 bis {OFFSET_MAX} sein",
    "idempotency-key": "Header 'Idempotency-Key' muss einmal vorkommen, mit 1 bis 255 druckbaren ASCII-Zeichen",
    "prefer": "Header 'Prefer': wait muss eine ganze Zahl von 0 bis 120 sein",
    "darkroom-position": "Header 'Darkroom-Position' nennt keine gültige Position",
}
"""What is wanted of each field; said when it is something else."""
_BY_CODE: Mapping[str, str] = {
    "content-too-large": "Bilddatei (field 'image') ist zu groß (File too large): höchstens 10 MB",
    "unsupported-picture": "Bilddatei (field 'image') hat ein falsches Format: nur JPEG, PNG und WebP",
    "unreadable-picture": "Bilddatei (field 'image') ist beschädigt oder nicht lesbar",
    "picture-too-large": _TOO_MANY_PIXELS,
    "unsupported-media-type": "Content-Type muss multipart/form-data sein",
    "csrf": "CSRF-Prüfung fehlgeschlagen: Header X-CSRF-Token und Cookie csrf_token müssen gleich sein",
    "foreign-origin": "CSRF-Prüfung fehlgeschlagen: die Anfrage kommt von einem fremden Origin",
    "outcome-unknown": "Es ist unklar, ob die Anfrage angenommen wurde: bitte mit dem Idempotency-Key wiederholen",
    "overloaded": "Der Dienst ist überlastet: bitte in Kürze erneut versuchen",
}
"""By the core's code, before anything else."""


class Exact(BaseModel):
    """Base of what this document shows: the members that are named and no others."""

    model_config = ConfigDict(extra="forbid")


class ErrorBody(Exact):
    """What went wrong; `details` only where there is more to say than the message does."""

    type: ErrorType
    message: str
    details: dict[str, Any] = Field(default_factory=dict, min_length=1)


class ErrorAnswer(Exact):
    """Every answer from 400 on."""

    success: Literal[False]
    error: ErrorBody


class Told(NamedTuple):
    """An error before it has its shape."""

    status: int
    type: ErrorType
    message: str
    details: Mapping[str, Any] = {}

    def answer(self) -> WireAnswer:
        """The error as it goes out."""
        error: dict[str, Any] = {"type": self.type, "message": self.message}
        if self.details:
            error["details"] = self.details
        return WireAnswer(status=self.status, document={"success": False, "error": error})


def invalid(message: str) -> WireAnswer:
    """400 with this sentence."""
    return Told(400, "validation_error", message).answer()


def _quota_exceeded(refusal: no.QuotaExceeded) -> Told:
    details = {"used": refusal.used, "limit": refusal.limit, "resetAt": rfc3339(refusal.resets_ms)}
    return Told(403, "forbidden", "Kostenloses Nutzungslimit erreicht", details)


def _not_entitled(refusal: no.NotEntitled) -> Told:
    if refusal.what == "scale":
        return Told(403, "forbidden", f"Upscaling über {refusal.limit}x ist im Tarif nicht enthalten")
    if refusal.what in ("face_enhance", "gfpgan", "codeformer"):
        return Told(403, "forbidden", "Gesichtsverbesserung ist im Tarif nicht enthalten")
    return Told(403, "forbidden", f"{refusal.what} ist im Tarif nicht enthalten")


def _insufficient_credits(refusal: no.InsufficientCredits) -> Told:
    details = {"required": refusal.required, "available": refusal.available}
    return Told(403, "forbidden", "Das Guthaben reicht nicht aus", details)


def _said(status: int, kind: ErrorType, message: str) -> Callable[[Any], Told]:
    return lambda _: Told(status, kind, message)


REFUSALS: Mapping[type[Any], Callable[[Any], Told]] = {
    no.InsufficientCredits: _insufficient_credits,
    no.QuotaExceeded: _quota_exceeded,
    no.QueueFull: _said(429, "rate_limited", "Zu viele Jobs warten bereits: bitte später erneut versuchen"),
    no.IdempotencyMismatch: _said(409, "conflict", "Der Idempotency-Key wurde mit anderem Inhalt schon verwendet"),
    no.ModelUnknown: _said(400, "validation_error", MODEL_UNKNOWN),
    no.AssetUnknown: _said(400, "validation_error", "Bilddatei (field 'image') ist nicht mehr vorhanden"),
    no.InputRequired: _said(400, "validation_error", IMAGE_REQUIRED),
    no.MaskRequired: _said(400, "validation_error", "Das Modell braucht eine Maske"),
    no.NotEntitled: _not_entitled,
    no.AlbumUnknown: _said(404, "not_found", "Album nicht gefunden"),
    no.AlbumsFull: _said(409, "conflict", "Es sind keine weiteren Alben möglich"),
    no.PlanUnknown: _said(400, "validation_error", "Diesen Tarif gibt es nicht"),
    no.JobUnknown: _said(404, "not_found", "Job nicht gefunden"),
    no.JobEnded: _said(409, "conflict", "Der Job ist bereits beendet und kann nicht abgebrochen werden"),
    no.ChargeUnknown: _said(404, "not_found", "Zu diesem Job ist keine Buchung bekannt"),
    no.NothingCharged: _said(409, "conflict", "Der Job war kostenlos"),
    no.AlreadyRefunded: _said(409, "conflict", "Der Job wurde bereits erstattet"),
    no.GrantBelowZero: _said(400, "validation_error", "Der Betrag ist größer als das Guthaben"),
    no.GrantExpired: _said(400, "validation_error", "Der Ablauf der Gutschrift muss in der Zukunft liegen"),
    no.GrantsFull: _said(409, "conflict", "Es sind keine weiteren Gutschriften möglich"),
    no.GrantTooLarge: _said(400, "validation_error", "Die Gutschrift ist zu groß"),
    no.PlanVersionReused: _said(409, "conflict", "Diese Version des Tarifs ist schon vergeben"),
    no.PlanMissing: _said(503, "service_unavailable", "Der Dienst startet gerade: bitte in Kürze erneut versuchen"),
}

_UNAVAILABLE = "Der Dienst ist vorübergehend nicht verfügbar: bitte erneut versuchen"
_BY_STATUS: Mapping[int, tuple[int, ErrorType, str]] = {
    400: (400, "validation_error", "Die Anfrage ist ungültig"),
    401: (401, "unauthorized", "Das Token ist ungültig oder abgelaufen"),
    403: (403, "forbidden", "Der Zugriff ist nicht erlaubt"),
    404: (404, "not_found", "Job nicht gefunden"),
    405: (405, "method_not_allowed", "Diese HTTP-Methode ist hier nicht möglich"),
    408: (408, "request_timeout", "Das Hochladen hat zu lange gedauert"),
    409: (409, "conflict", "Die Anfrage steht im Konflikt mit dem Stand des Jobs"),
    410: (410, "gone", "Das Bild ist nicht mehr vorhanden"),
    429: (429, "rate_limited", "Zu viele Anfragen"),
    500: (500, "internal_error", "Interner Fehler: die Anfrage konnte nicht verarbeitet werden"),
    502: (503, "service_unavailable", _UNAVAILABLE),
    503: (503, "service_unavailable", _UNAVAILABLE),
    504: (503, "service_unavailable", _UNAVAILABLE),
}


def fault(fault: Fault) -> WireAnswer:
    """Any fault as this document tells it. Of several bad fields the first is named."""
    return _told(fault).answer()


def _told(fault: Fault) -> Told:
    if fault.refusal is not None:
        return REFUSALS[type(fault.refusal)](fault.refusal)
    nearest = 400 if fault.status < 500 else 500
    status, kind, message = _BY_STATUS.get(fault.status, _BY_STATUS[nearest])
    if fault.status == 429 and fault.retry_after_s is not None:
        message = f"{message}: bitte in {fault.retry_after_s} Sekunden erneut versuchen"
    if fault.status == 404 and not fault.operation:
        message = "Diesen Endpunkt gibt es nicht"
    message = _BY_CODE.get(fault.code, message)
    if fault.fields and fault.code not in _BY_CODE:
        name = fault.fields[0].field
        message = FIELDS.get(name) or FIELDS.get(name.lower()) or f"Ungültige Anfrage (field '{name[:64]}')"
    key = fault.extra.get("idempotency_key")
    return Told(status, kind, message, {} if key is None else {"idempotencyKey": key})


_LATER = (("retry-after", "30"),)
_FAILED: tuple[int, ErrorType, str] = (500, "internal_error", "Die Verarbeitung des Bildes ist fehlgeschlagen")
FAILURES: Mapping[str, tuple[int, ErrorType, str]] = {
    "engine-unavailable": (503, "service_unavailable", "Zurzeit ist kein Anbieter für dieses Modell verfügbar"),
    "queue-deadline": (503, "service_unavailable", "Der Job konnte nicht rechtzeitig begonnen werden"),
    "run-deadline": (500, "internal_error", "Die Verarbeitung hat zu lange gedauert"),
    "lease-lost": (500, "internal_error", "Die Verarbeitung wurde unterbrochen"),
    "model-failed": (500, "internal_error", "Das Modell konnte das Bild nicht verarbeiten"),
    "crashes-engine": (500, "internal_error", "Das Modell konnte das Bild nicht verarbeiten"),
    "input-undecodable": (400, "validation_error", "Bilddatei (field 'image') ist beschädigt oder nicht lesbar"),
    "input-gone": (500, "internal_error", "Das Originalbild ist nicht mehr vorhanden"),
    "input-corrupt": (500, "internal_error", "Das Originalbild ist beschädigt"),
    "erased": (410, "gone", "Das Konto wurde gelöscht"),
    "store-unavailable": (503, "service_unavailable", _UNAVAILABLE),
    "keys-unavailable": (503, "service_unavailable", _UNAVAILABLE),
    "media-unavailable": (503, "service_unavailable", _UNAVAILABLE),
}
"""Why jobs fail, by the core's words; others get the general sentence."""


def failure_message(status: str, reason: str | None) -> str | None:
    """Why a job has failed, in one sentence; None where it has not. Statuses and reasons are the core's words."""
    if status not in ("failed", "expired"):
        return None
    return _failed(status, reason)[2]


def failure(job: str, status: str, reason: str | None) -> WireAnswer:
    """The answer to a submit whose job has ended without a picture; nothing was charged."""
    if status == "canceled":
        return Told(409, "conflict", "Der Job wurde abgebrochen", {"jobId": job}).answer()
    answer = Told(*_failed(status, reason), {"jobId": job}).answer()
    return replace(answer, headers=_LATER) if answer.status == 503 else answer


def _failed(status: str, reason: str | None) -> tuple[int, ErrorType, str]:
    return FAILURES.get("queue-deadline" if status == "expired" else reason or "", _FAILED)
