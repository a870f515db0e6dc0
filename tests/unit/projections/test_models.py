"""Every read model has its tables, its fold and its place among what reads wait for."""

from __future__ import annotations

from infra.postgres.generations import MODELS
from infra.postgres.positions import READ_MODELS
from projections import keys
from projections.intake import FOLDS


def test_every_fold_has_tables_and_reads_wait_for_it() -> None:
    assert {*FOLDS, keys.NAME} <= set(MODELS)
    assert set(READ_MODELS) == set(FOLDS)
