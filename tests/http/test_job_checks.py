"""What a submit makes of pictures, masks and prompts, of models for some products, and how large a command may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from infra.http.problems import Problem
from infra.sealing.content import JOB, decode_job_secrets
from ingest.envelopes import Sender
from schemas.catalogue import Catalogue
from schemas.commands import (
    COMMAND_BYTES_MAX,
    GROUP_COMMAND_BYTES_MAX,
    AnyCommand,
    GroupedJob,
    RefundJob,
    SubmitGroup,
    SubmitJob,
    decode_command,
)
from tests.http.fakes import CATALOGUE, Side, decoded, make_side

INPAINT = {"model": "classical/inpaint", "input": {"asset": "asset_1", "mask": "asset_2"}}
SENDER = Sender(
    account="acct_a", product="darkroom", plan="default", actor="user", subject=None, trace=None, sent_ms=1, gateway="g"
)


def drawn(prompt: str) -> dict[str, Any]:
    return {"model": "procedural/image", "params": {"prompt": prompt}}


def sent(side: Side, number: int = -1) -> SubmitJob:
    command = side.decider.envelopes[number].command
    assert isinstance(command, SubmitJob)
    return command


async def test_a_mask_is_an_asset_beside_the_picture(side: Side) -> None:
    assert (await side.submit(INPAINT)).status_code == 202
    assert (sent(side).input, sent(side).mask) == ("asset_1", "asset_2")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"asset": "asset_1"}, "input.mask"),
        ({"asset": "asset_1", "mask": ""}, "input.mask"),
        ({"asset": "asset_1", "mask": 7}, "input.mask"),
        ({"mask": "asset_2"}, "input"),
        (None, "input"),
    ],
)
async def test_a_missing_mask_or_picture_is_named(side: Side, given: Any, field: str) -> None:
    answer = await side.submit({"model": "classical/inpaint", "input": given})
    assert (answer.status_code, decoded(answer)["errors"][0]["field"]) == (400, field)


async def test_a_mask_has_the_pictures_size_where_both_are_known(side: Side) -> None:
    account = side.account()
    side.read_side.sizes[account, "asset_1"] = (40, 30)
    assert (await side.submit(INPAINT)).status_code == 202
    side.read_side.sizes[account, "asset_2"] = (30, 40)
    refused = await side.submit(INPAINT)
    assert (refused.status_code, decoded(refused)["errors"][0]["field"]) == (400, "input.mask")


async def test_a_mask_where_none_is_taken_is_refused(side: Side) -> None:
    body = {"model": "classical/upscale", "input": {"asset": "asset_1", "mask": "asset_2"}}
    answer = await side.submit(body)
    assert (answer.status_code, decoded(answer)["errors"][0]["field"]) == (400, "input.mask")


async def test_the_mask_is_part_of_what_a_repeat_must_equal(side: Side) -> None:
    await side.submit(INPAINT, Idempotency_Key="k")
    await side.submit({**INPAINT, "input": {"asset": "asset_1", "mask": "asset_3"}}, Idempotency_Key="k")
    one, two = (envelope.idempotency for envelope in side.decider.envelopes)
    assert one is not None
    assert two is not None
    assert one.key == two.key
    assert one.fingerprint != two.fingerprint


async def test_prompts_travel_sealed_and_are_known_by_a_keyed_hash(side: Side) -> None:
    for prompt in ("a red fox", "a red fox", "a blue fox"):
        assert (await side.submit(drawn(prompt))).status_code == 202
    one, two, three = (sent(side, number) for number in range(3))
    assert "prompt" not in one.params
    assert one.sealed is not None
    opened = await side.ring.open(side.account(), one.sealed, JOB)
    assert opened is not None
    assert decode_job_secrets(opened).texts["prompt"] == "a red fox"
    assert one.content is not None
    assert one.content == two.content != three.content
    other = {"Authorization": f"Bearer {side.token('bob')}"}
    await side.http.post("/v1/jobs", json=drawn("a red fox"), headers=other)
    assert sent(side).content != one.content


async def test_hashes_of_another_deployment_are_others(side: Side, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    elsewhere = make_side(tmp_path / "other", identifier_key=b"j" * 32)
    for one in (side, elsewhere):
        await one.submit(drawn("a red fox"), Idempotency_Key="k")
    await elsewhere.http.aclose()
    here, there = side.decider.envelopes[0], elsewhere.decider.envelopes[0]
    assert sent(side).content != sent(elsewhere).content
    assert here.idempotency is not None
    assert there.idempotency is not None
    assert here.idempotency.fingerprint != there.idempotency.fingerprint
    assert here.idempotency.key != there.idempotency.key


async def test_jobs_without_personal_texts_have_no_hash(side: Side) -> None:
    await side.submit({"model": "sandbox/echo", "metadata": {"order": 1}})
    assert sent(side).content is None


async def test_a_model_of_other_products_does_not_exist(tmp_path: Path) -> None:
    models = tuple(
        replace(entry, products=("studio",)) if entry.slug == "sandbox/echo" else entry for entry in CATALOGUE.models
    )
    catalogue: Catalogue = replace(CATALOGUE, models=models)
    side = make_side(tmp_path, catalogue=catalogue)
    async with side.http:
        refused = await side.submit({"model": "sandbox/echo"})
        assert (refused.status_code, decoded(refused)["code"]) == (400, "model-unknown")
        headers = {"Authorization": f"Bearer {side.token('ada', product='studio')}"}
        allowed = await side.http.post("/v1/jobs", json={"model": "sandbox/echo"}, headers=headers)
        assert allowed.status_code == 202
        again = await side.submit({"model": "sandbox/echo"})  # what one product has checked is not another's
        assert again.status_code == 400


def command_of(size: int, make: Any) -> AnyCommand:
    """The command that makes an item of exactly so many bytes."""
    empty = len(SENDER.encoded("cmd_1", make(""), None, None))
    command: AnyCommand = make("x" * (size - empty))
    return command


@pytest.mark.parametrize(
    ("bytes_max", "make"),
    [
        (COMMAND_BYTES_MAX, lambda text: RefundJob("job_1", text)),
        (GROUP_COMMAND_BYTES_MAX, lambda text: SubmitGroup("group_1", (GroupedJob("job_1", text, {}),))),
    ],
)
def test_a_command_of_exactly_the_bound_passes_and_one_byte_more_is_413(bytes_max: int, make: Any) -> None:
    item = SENDER.encoded("cmd_1", command_of(bytes_max, make), None, None)
    assert len(item) == bytes_max
    assert decode_command(item).account == "acct_a"
    with pytest.raises(Problem) as refused:
        SENDER.encoded("cmd_1", command_of(bytes_max + 1, make), None, None)
    assert (refused.value.status, refused.value.code) == (413, "command-too-large")


async def test_what_is_too_large_never_reaches_the_log(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.envelopes.COMMAND_BYTES_MAX", 700)
    body = {"model": "sandbox/echo", "metadata": {"note": "x" * 1500}}
    answer = await side.submit(body)
    assert (answer.status_code, decoded(answer)["code"]) == (413, "command-too-large")
    assert side.decider.envelopes == []
    batch = await side.http.post("/v1/jobs:batch", json={"jobs": [{"model": "sandbox/echo"}, body]})
    assert [one["status"] for one in decoded(batch)["results"]] == [202, 413]
    assert len(side.decider.envelopes) == 1
