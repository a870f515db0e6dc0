"""DELETE generation of document 001 over ports in memory: what goes, what stays, repeats, and crashes between steps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from infra.kafka.ports import NotAppended
from schemas import commands as cmd
from schemas.commands import Envelope
from schemas.replies import AnyAnswer, JobHiddenAnswer
from schemas.wire.pix_loom import DeletedAnswer
from tests.http.loom_side import ACCOUNT, DID, Loom, data, error, loom_side

NOT_FOUND = {"error": "未找到", "message": "生成未找到或访问被拒绝"}


@pytest.fixture
async def loom(tmp_path: Path) -> AsyncIterator[Loom]:
    async with loom_side(tmp_path) as made:
        yield made


async def made(loom: Loom, url: str | None = "https://pictures.example/a.jpg") -> tuple[str, str, str]:
    """A completed generation: its id, its original and its result."""
    generation = data(await loom.generate(url))["generationId"]
    job = generation.replace("gen_", "job_")
    known = loom.side.read_side.jobs[ACCOUNT, job]
    assert known.asset is not None
    assert known.input is not None
    return generation, known.input, known.asset


def own_url(asset: str) -> str:
    return f"http://darkroom.test/v1/media/{ACCOUNT}/{asset}?expires=1&signature=x"


async def test_a_deletion_hides_the_job_and_removes_both_pictures(loom: Loom) -> None:
    generation, original, result = await made(loom)
    answer = await loom.delete(generation)
    assert answer.status_code == 200
    DeletedAnswer.model_validate(answer.json())
    assert answer.json() == {"success": True, "data": {"message": "生成记录删除成功", "deletedId": generation}}
    assert loom.gone() == {original, result}
    kinds = [type(command) for command in loom.commands()]
    assert kinds[-3:] == [cmd.HideJob, cmd.DeleteAsset, cmd.DeleteAsset]
    assert loom.decider.credits == 4


async def test_a_second_deletion_is_404_and_appends_nothing(loom: Loom) -> None:
    generation, *_ = await made(loom)
    assert (await loom.delete(generation)).status_code == 200
    before = len(loom.commands())
    assert error(await loom.delete(generation), 404) == NOT_FOUND
    assert len(loom.commands()) == before


async def test_a_repeat_under_the_same_key_is_200_again_and_another_key_404(loom: Loom) -> None:
    generation, *_ = await made(loom)
    answers = [await loom.delete(generation, Idempotency_Key=key) for key in ("k", "k", "other")]
    assert [answer.status_code for answer in answers] == [200, 200, 404]


async def test_a_key_that_deleted_another_generation_is_409(loom: Loom) -> None:
    one, *_ = await made(loom)
    two, *_ = await made(loom)
    assert (await loom.delete(one, Idempotency_Key="k")).status_code == 200
    assert error(await loom.delete(two, Idempotency_Key="k"), 409)["error"] == "请求冲突"


@pytest.mark.parametrize("fails_after", ["HideJob", "DeleteAsset"])
async def test_a_deletion_that_was_cut_off_is_completed_by_a_repeat(loom: Loom, fails_after: str) -> None:
    generation, original, result = await made(loom)
    append = loom.side.decider.append

    async def cut(partition: int, item: bytes) -> object:
        appended = await append(partition, item)
        if type(loom.commands()[-1]).__name__ == fails_after:
            loom.side.decider.fault = NotAppended("away")
        return appended

    loom.side.decider.append = cut  # type: ignore[method-assign,assignment]
    assert error(await loom.delete(generation), 503)["error"] == "服务暂不可用"
    loom.side.decider.fault, loom.side.decider.append = None, append  # type: ignore[method-assign]
    assert loom.gone() < {original, result}
    assert (await loom.delete(generation)).status_code == 200
    assert loom.gone() == {original, result}
    assert error(await loom.delete(generation), 404) == NOT_FOUND


async def test_an_unfinished_generation_is_canceled_and_its_credit_back(loom: Loom) -> None:
    loom.decider.ends = None
    generation = data(await loom.generate(prefer="respond-async"), 202)["generationId"]
    (registered,) = loom.commands(cmd.RegisterAsset)
    assert loom.decider.credits == 4
    assert (await loom.delete(generation)).status_code == 200
    assert loom.decider.credits == 5
    assert loom.gone() == {registered.asset}


async def test_the_result_of_a_job_that_ended_meanwhile_goes_too(loom: Loom) -> None:
    """The read model said it lives; when it is hidden it has a result."""
    generation, original, result = await made(loom)
    place = ACCOUNT, generation.replace("gen_", "job_")
    ended = loom.side.read_side.jobs[place]
    loom.side.read_side.jobs[place] = replace(ended, status="running", asset=None, result=None, ended_ms=None)

    def hides(envelope: Envelope) -> Sequence[AnyAnswer]:
        if not isinstance(envelope.command, cmd.HideJob):
            return loom.decider(envelope)
        loom.side.read_side.jobs[place] = replace(ended, hidden_ms=1)
        return [JobHiddenAnswer(place[1], False, 4)]

    loom.side.decider.script = hides
    assert (await loom.delete(generation)).status_code == 200
    assert loom.gone() == {original, result}


async def test_the_sample_stays(loom: Loom) -> None:
    generation, sample, result = await made(loom, None)
    assert (await loom.delete(generation)).status_code == 200
    assert loom.gone() == {result}
    assert sample not in loom.gone()
    assert error(await loom.delete(generation), 404) == NOT_FOUND


async def test_an_original_that_another_generation_shows_goes_with_the_last(loom: Loom) -> None:
    one, original, one_result = await made(loom)
    two, same, two_result = await made(loom, own_url(original))
    assert same == original
    assert (await loom.delete(one)).status_code == 200
    assert loom.gone() == {one_result}
    assert error(await loom.delete(one), 404) == NOT_FOUND
    assert (await loom.delete(two)).status_code == 200
    assert loom.gone() == {one_result, two_result, original}


async def test_a_result_that_was_worked_on_again_goes_with_the_last(loom: Loom) -> None:
    one, original, one_result = await made(loom)
    two, *_, two_result = await made(loom, own_url(one_result))
    assert (await loom.delete(one)).status_code == 200
    assert loom.gone() == {original}
    assert (await loom.delete(two)).status_code == 200
    assert loom.gone() == {original, one_result, two_result}


@pytest.mark.parametrize("generation", ["gen_x", "job_" + "a" * 26, "gen_" + "A" * 26, "%00", "gen_" + "a" * 27])
async def test_what_can_be_no_id_is_404_at_once(loom: Loom, generation: str) -> None:
    assert error(await loom.delete(generation), 404) == NOT_FOUND
    assert loom.commands() == []


async def test_an_unknown_id_is_looked_for_in_the_log_and_hides_nothing(loom: Loom) -> None:
    assert error(await loom.delete("gen_" + "a" * 26), 404) == NOT_FOUND
    assert [type(command) for command in loom.commands()] == [cmd.CancelJob]


async def test_a_generation_that_just_came_in_through_another_gateway_is_found(loom: Loom) -> None:
    loom.decider.ends = None
    generation = data(await loom.generate(prefer="respond-async"), 202)["generationId"]
    place = ACCOUNT, generation.replace("gen_", "job_")
    known = loom.side.read_side.jobs.pop(place)

    def late(envelope: Envelope) -> Sequence[AnyAnswer]:
        loom.side.read_side.jobs.setdefault(place, known)
        return loom.decider(envelope)

    loom.side.decider.script = late
    assert (await loom.delete(generation)).status_code == 200
    assert loom.side.read_side.jobs[place].hidden_ms is not None


async def test_strangers_and_jobs_that_are_no_generations_are_404(loom: Loom) -> None:
    generation, *_ = await made(loom)
    place = ACCOUNT, generation.replace("gen_", "job_")
    other = {"Authorization": f"Bearer {loom.side.token(DID + 'x', product='pix-loom')}"}
    assert error(await loom.delete(generation, **other), 404) == NOT_FOUND
    loom.side.read_side.jobs[place] = replace(loom.side.read_side.jobs[place], model="classical/upscale")
    assert error(await loom.delete(generation), 404) == NOT_FOUND
    assert loom.side.read_side.jobs[place].hidden_ms is None
    assert loom.gone() == set()


async def test_a_read_model_that_is_late_after_the_hiding_is_503_and_a_repeat_completes(loom: Loom) -> None:
    generation, original, result = await made(loom)

    def late(envelope: Envelope) -> Sequence[AnyAnswer]:
        loom.side.read_side.is_current = not isinstance(envelope.command, cmd.HideJob)
        return loom.decider(envelope)

    loom.side.decider.script = late
    assert error(await loom.delete(generation), 503)["message"] == "数据尚未同步，请稍后重试"
    assert loom.gone() == set()
    loom.side.read_side.is_current = True
    assert (await loom.delete(generation)).status_code == 200
    assert loom.gone() == {original, result}


async def test_late_read_models_are_503_before_anything_is_removed(loom: Loom) -> None:
    generation, *_ = await made(loom)
    loom.side.read_side.is_current = False
    answer = await loom.delete(generation)
    assert error(answer, 503)["message"] == "数据尚未同步，请稍后重试"
    assert answer.headers["retry-after"] == "1"
    assert loom.gone() == set()
