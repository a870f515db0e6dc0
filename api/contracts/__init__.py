"""Documented contracts, read model to wire: one thin rendering each."""
