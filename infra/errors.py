"""Failures that whoever runs Darkroom can mend."""

from __future__ import annotations


class OperatorError(Exception):
    """What was asked cannot be done. The message is one sentence with its cure, fit for the terminal."""


class ServerUnreachable(Exception):
    """A server did not answer in time; it may by itself later. One sentence with its cure, fit for the terminal."""
