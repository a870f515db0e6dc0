"""Failures that whoever runs Darkroom can mend."""

from __future__ import annotations


class OperatorError(Exception):
    """What was asked cannot be done. The message is one sentence with its cure, fit for the terminal."""
