"""What goes wrong on the operator's side of the local stack."""

from __future__ import annotations

from infra.errors import OperatorError


class LocalError(OperatorError):
    """The local stack cannot do what was asked. The message is one sentence with its cure, fit for the terminal."""
