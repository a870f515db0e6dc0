"""Events as CloudEvents 1.0 in structured JSON, for people and scripts; on the topic they travel in binary mode."""

import datetime
from typing import Any

import msgspec

from schemas.events import Event, cloud_event_type


def rfc3339(time_ms: int) -> str:
    """UTC milliseconds as RFC 3339 text with three decimals."""
    moment = datetime.datetime.fromtimestamp(time_ms / 1000, tz=datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def source_of(deployment: str) -> str:
    """The CloudEvents `source` of a deployment's events."""
    return f"/darkroom/{deployment}"


def structured(event: Event, deployment: str) -> dict[str, Any]:
    """The event as a JSON object: attributes beside `data`, whose keys are those of the value on the topic."""
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.position,
        "source": source_of(deployment),
        "type": cloud_event_type(event.data),
        "subject": event.account,
        "time": rfc3339(event.time_ms),
        "datacontenttype": "application/json",
    }
    if event.trace is not None:
        attributes["traceparent"] = event.trace
    attributes["data"] = msgspec.to_builtins(event)
    return attributes
