"""Detours: workers of the local stack reach a server through a port where somebody else listens.

``DARKROOM_DETOURS='{"kafka": 19092, "s3": 19000, "postgres": 15432, "triton": 18001}'`` (any of them) sends gateway,
processors, dispatcher and projector to these ports of 127.0.0.1. The supervisor, health checks and operators' commands
keep the direct ways, so a proxy in a detour can meddle with what workers say and is seen by nobody else. A proxy
relays to the port that ``stack.json`` names for the server. For Kafka that is ``kafka-detour``: a second listener,
which tells its clients the detour's port. URLs that are signed for clients still name the object store itself.

For tests on this machine alone: a stack of any deployment but ``local`` refuses to start with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from infra.local.errors import LocalError

VARIABLE = "DARKROOM_DETOURS"
KAFKA_LISTENER = "kafka-detour"
"""The port in ``stack.json`` to which a proxy for Kafka relays."""
_PORT_NAMES = {"kafka": "kafka", "s3": "s3", "postgres": "postgres", "triton": "triton-grpc"}
_HIGHEST_PORT = 65_535


def detours_of(environment: Mapping[str, str], deployment: str) -> dict[str, int]:
    """The ports asked for, by their names in ``stack.json``; none where nobody asks. Raises `LocalError`."""
    text = environment.get(VARIABLE)
    if not text:
        return {}
    if deployment != "local":
        raise LocalError(f"{VARIABLE} is for the deployment local alone, and this is {deployment}: unset it.")
    try:
        asked = json.loads(text)
    except ValueError as error:
        raise LocalError(f'{VARIABLE} is no JSON: write it as {{"kafka": 19092}}.') from error
    if not isinstance(asked, dict) or not all(name in _PORT_NAMES and _is_port(port) for name, port in asked.items()):
        raise LocalError(f"{VARIABLE} has to name ports of {', '.join(_PORT_NAMES)}, and says {text}: correct it.")
    return {_PORT_NAMES[name]: port for name, port in asked.items()}


def _is_port(value: object) -> bool:
    return type(value) is int and 0 < value <= _HIGHEST_PORT
