"""Documented contracts, wire to core command: one thin translation each."""
