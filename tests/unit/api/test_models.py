"""Which models a caller is shown."""

from __future__ import annotations

from msgspec.structs import replace

from api.money_documents import catalogue_document
from tests.http.fakes import CATALOGUE


def test_a_model_of_some_products_is_shown_to_them_alone() -> None:
    models = tuple(
        replace(one, products=("studio",)) if one.slug == "sandbox/echo" else one for one in CATALOGUE.models
    )
    catalogue = replace(CATALOGUE, models=models)
    shown = {
        product: {row["id"] for row in catalogue_document(catalogue, product)["data"]}
        for product in ("studio", "darkroom")
    }
    assert "sandbox/echo" in shown["studio"] - shown["darkroom"]
    assert shown["darkroom"].isdisjoint({"flux", "real-esrgan"}), "slugs of documents are their products' alone"
    assert "sandbox/slow" in shown["darkroom"]
