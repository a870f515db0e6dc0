"""An operator's call to a running stack over HTTP, by the standard library, because such commands must be quick."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import click

from infra.cli.options import admin_token
from infra.local.errors import LocalError
from infra.local.layout import Layout, StackFile

_LIMIT_S = 30


def call(layout: Layout, stack: StackFile, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
    """POST to the gateway as an operator; the document of its answer, empty for 204.

    Raises ClickException with the problem's text where it was refused, LocalError where nothing answers.
    """
    request = urllib.request.Request(
        stack.url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {admin_token(layout, stack)}", "Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_LIMIT_S) as answer:  # nosec B310 # the URL of our own stack
            content: dict[str, Any] = json.loads(answer.read() or b"{}")
            return content
    except urllib.error.HTTPError as error:
        with error:
            raise click.ClickException(_problem(error)) from error
    except OSError as error:
        raise LocalError(f"Nothing answers at {request.host}: start the stack with `darkroom up`.") from error


def _problem(error: urllib.error.HTTPError) -> str:
    try:
        content = json.load(error)
        return f"{content.get('title', error.reason)}: {content.get('detail', '')}"
    except ValueError:
        return f"HTTP {error.code}"
