"""Mappings of an audit: the same as a dictionary, with a bound on what stands in memory."""

from __future__ import annotations

import random
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

import pytest

from processors.audit_spill import InMemory, Shelf, Spill, SpilledMapping, sorted_items


def test_it_is_a_dictionary_whatever_is_put_taken_and_asked() -> None:
    draw, model = random.Random(7), dict[str, tuple[int, str]]()
    with Spill(hot_max=16) as spill:
        mapping = spill.mapping("things", tuple[int, str])
        for step in range(6_000):
            key = f"key-{draw.randrange(300)}"
            if draw.random() < 0.6:
                model[key] = mapping[key] = (step, key)
            elif draw.random() < 0.5:
                assert mapping.pop(key, None) == model.pop(key, None)
            assert mapping.get(key) == model.get(key)
            assert (key in mapping) == (key in model)
        assert list(mapping.sorted_items()) == sorted(model.items())
        assert len(mapping) == len(model)
        assert dict(mapping) == model
        assert list(mapping.sorted_items("key-2")) == sorted(item for item in model.items() if item[0] >= "key-2")


def test_no_more_than_was_allowed_stands_in_memory() -> None:
    with Spill(hot_max=100) as spill:
        mapping = spill.mapping("many", int)
        for number in range(10_000):
            mapping[str(number)] = number
        assert len(mapping._hot) <= 100
        assert len(mapping) == 10_000
        assert [mapping[str(number)] for number in range(10_000)] == list(range(10_000))
        assert len(mapping._hot) <= 100


def test_mappings_of_a_shelf_are_apart_and_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spill = Spill(hot_max=2)
    first, second = spill.mapping("first", bytes), spill.mapping("second", bytes)
    for number in range(10):
        first[str(number)] = b"1"
    assert (len(first), len(second)) == (10, 0)
    assert list(tmp_path.iterdir()) == []
    spill.close()


@pytest.mark.parametrize("shelf", [InMemory(), Spill()], ids=["in memory", "spill"])
def test_both_shelves_list_in_the_order_of_keys(shelf: Shelf) -> None:
    mapping: MutableMapping[str, int] = shelf.mapping("m", int)
    for key in ("b", "a", "ä", "c"):
        mapping[key] = ord(key)
    assert [key for key, _ in sorted_items(mapping)] == ["a", "b", "c", "ä"]
    assert [key for key, _ in sorted_items(mapping, "b")] == ["b", "c", "ä"]
    with pytest.raises(KeyError):
        del mapping["d"]
    if isinstance(mapping, SpilledMapping):
        assert isinstance(shelf, Spill)
        shelf.close()
