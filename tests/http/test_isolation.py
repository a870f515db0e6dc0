"""Nothing in the work that an answer takes tells another account's id from nobody's: the same reads, in the same order.

Times would be a guess on a busy machine; what decides them is which questions are asked of the database, and that can
be compared exactly.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra.settings import Settings
from schemas import events as ev
from tests.http.reading import Reading, accepted, open_reading, opening, stored

SUFFIX, NOBODYS = "b" * 26, "c" * 26
JOB, ASSET = f"job_{SUFFIX}", f"asset_{SUFFIX}"
MODELS = {"pix-loom": "enhancement"}  # a document tells of its own operations only
PATHS = (
    ("ai-image", f"/api/ai-image/jobs/{JOB}"),
    ("pix-loom", f"/api/ai/generation/gen_{SUFFIX}"),
    ("spike-land", f"/api/images/img_{SUFFIX}"),
    ("studio", f"/api/generation-status/req_{SUFFIX}"),
    ("darkroom", f"/v1/jobs/{JOB}"),
    ("darkroom", f"/v1/jobs/{JOB}/events"),
    ("darkroom", f"/v1/jobs/{JOB}/charge"),
    ("darkroom", f"/v1/assets/{ASSET}"),
    ("darkroom", f"/v1/media/{ASSET}"),
)


@pytest.fixture
async def side(postgres: Settings, tmp_path: Path) -> AsyncIterator[Reading]:
    async with open_reading(postgres, tmp_path) as opened:
        yield opened


class Questions:
    """Every statement that the readers are asked."""

    def __init__(self, side: Reading, patch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        for name in ("row", "rows"):
            patch.setattr(side.readers, name, self._noting(getattr(side.readers, name)))

    def _noting(self, ask: Any) -> Any:
        async def noted(statement: str, *arguments: Any) -> Any:
            self.asked.append(statement)
            return await ask(statement, *arguments)

        return noted


@pytest.mark.parametrize(("product", "path"), PATHS, ids=[path for _, path in PATHS])
async def test_another_accounts_id_takes_the_same_reads_as_nobodys(
    side: Reading, monkeypatch: pytest.MonkeyPatch, product: str, path: str
) -> None:
    owner = side.account("ada", product)
    result = stored("k", b"x", "ab" * 32)
    side.log.say(owner, *opening(), product=product)
    side.log.say(owner, ev.AssetRegistered(ASSET, 1, result, None, None), product=product)
    side.log.say(
        owner,
        accepted(JOB, model=MODELS.get(product, "classical/upscale")),
        ev.CreditsReserved(JOB, 1, (), 1, 9),
        product=product,
    )
    questions, answers, asked = Questions(side, monkeypatch), [], []
    for place in (path, path.replace(SUFFIX, NOBODYS)):
        questions.asked.clear()
        answers.append(await side.http.get(place, headers=side.bearer("eve", product)))
        asked.append(list(questions.asked))
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace(SUFFIX, NOBODYS)[:80] == answers[1].text[:80]
    assert asked[0], "something is read"
    assert asked[0] == asked[1]
    assert (await side.http.get(path, headers=side.bearer("ada", product))).status_code != 404, "its owner finds it"
