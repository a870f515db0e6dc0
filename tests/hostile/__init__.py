"""Hostile input at every entry point of a running stack."""
