"""Plans on the running stack: windows, regeneration, entitlements, changes by an operator, several versions in force.

A plan of the next version is published to the running stack, as ``darkroom up`` does when its file has changed, and
the old terms again, under one version more, when these tests are over.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infra.cli.plan import publish_plan
from infra.cli.target import settings_for
from infra.plans import load_plan
from tests.client import Client, ok, problem
from tests.stack import Stack

SLOW_COST = 5
TINY = """
[products.ai-image.tiny]
uses_balance = false
windows = [{ kind = "day", limit = 3 }, { kind = "month", limit = 2 }]
models_denied = ["sandbox/flaky"]
param_limits = { seconds = 2 }
"""
REGENERATION = "regeneration = { units = 1, every_ms = 900_000, cap = 100 }"
FASTER = "regeneration = { units = 1, every_ms = 1_000, cap = 100 }"
SLOW = 'slug = "sandbox/slow"'
"""The model whose price changes: in its table comes one line `cost = { base = 1 }`."""


class Plans:
    """Plan files of a running stack, one version after the other."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._settings, self._folder = settings_for(stack.data), folder
        self.before = self.version = load_plan(self._settings).version

    def publish(self, *, changed: bool) -> None:
        """The next version, with other terms and prices or as they were."""
        plan = self._settings.plan_path.read_text()
        catalogue = self._settings.catalogue_path.read_text()
        self.version += 1
        plan = plan.replace(f"\nversion = {self.before}\n", f"\nversion = {self.version}\n")
        if changed:
            plan = plan.replace(REGENERATION, FASTER) + TINY
            before, slow, after = catalogue.partition(SLOW)
            catalogue = before + slow + after.replace("cost = { base = 1 }", f"cost = {{ base = {SLOW_COST} }}", 1)
        paths = {"plan_path": self._folder / "plan.toml", "catalogue_path": self._folder / "catalogue.toml"}
        paths["plan_path"].write_text(plan)
        paths["catalogue_path"].write_text(catalogue)
        assert asyncio.run(publish_plan(self._settings.model_copy(update=paths)))


@pytest.fixture(scope="module")
def plans(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plans]:
    """The stack's plan, changed by nobody yet; as it was again at the end."""
    folder = tmp_path_factory.mktemp("plans")
    marker = stack.data / "plan.published"
    shutil.copy(marker, folder)
    made = Plans(stack, folder)
    yield made
    made.publish(changed=False)
    shutil.copy(folder / marker.name, marker)


@pytest.fixture(scope="module")
def charged(stack: Stack, plans: Plans) -> tuple[str, str]:
    """A job accepted before the change and still running after it, of a user of its own, and its subject."""
    return asyncio.run(_across_the_change(stack, plans))


async def _across_the_change(stack: Stack, plans: Plans) -> tuple[str, str]:
    async with Client(stack) as user:
        await user.grant(20)
        job = ok(await user.submit("sandbox/slow", {"seconds": 3}))["id"]
        await asyncio.to_thread(plans.publish, changed=True)
        assert (await user.job(job))["status"] in ("accepted", "queued", "running")
        return user.subject, job


@pytest.fixture
async def image_user(stack: Stack, charged: tuple[str, str]) -> AsyncIterator[Client]:
    """A user of a product that counts jobs in windows, under the new plan `tiny`."""
    async with Client(stack, product="ai-image") as client, Client(stack, "operator", role="admin") as operator:
        ok(await operator.http.post(f"/v1/accounts/{client.name}:plan", json={"plan": "tiny"}))
        yield client


async def test_a_charge_is_made_under_the_prices_of_its_acceptance_and_names_their_version(
    stack: Stack, plans: Plans, charged: tuple[str, str]
) -> None:
    subject, old = charged
    async with Client(stack, subject) as user:
        new = ok(await user.submit("sandbox/slow", {"seconds": 0}, prefer="wait=30"))
        assert (await user.until_ended(old))["status"] == "succeeded"
        assert (new["status"], new["cost"]) == ("succeeded", SLOW_COST)
        lines = {line["job"]: line for line in await user.ledger() if line["kind"] == "captured"}
        assert (await user.account())["balance"] == 20 - 1 - SLOW_COST
    assert {job: line["plan_version"] for job, line in lines.items()} == {
        old: plans.before,
        new["id"]: plans.before + 1,
    }


async def test_a_window_that_is_used_up_refuses_and_says_when_it_is_over(image_user: Client) -> None:
    for used in (1, 2):
        ok(await image_user.submit(prefer="wait=30"))
        quota = {window["window"]: window["used"] for window in (await image_user.account())["quota"]}
        assert quota == {"day": used, "month": used}
    refused = problem(await image_user.submit(), 429)
    assert (refused["code"], refused["window"], refused["limit"], refused["used"]) == ("quota-exceeded", "month", 2, 2)
    assert refused["resets_at"].endswith("-01T00:00:00Z")


async def test_a_job_that_fails_gives_its_place_in_every_window_back(image_user: Client) -> None:
    for _ in range(3):
        assert ok(await image_user.submit("sandbox/broken", prefer="wait=30"))["status"] == "failed"
    assert [window["used"] for window in (await image_user.account())["quota"]] == [0, 0]
    ok(await image_user.submit(prefer="wait=30"))


async def test_what_a_plan_does_not_include_is_refused_until_another_plan_does(
    stack: Stack, image_user: Client
) -> None:
    denied = problem(await image_user.submit("sandbox/flaky", {"failures": 0}), 403)
    assert (denied["code"], denied["what"]) == ("not-entitled", "sandbox/flaky")
    limited = problem(await image_user.submit("sandbox/slow", {"seconds": 3}), 403)
    assert (limited["what"], limited["limit"]) == ("seconds", 2)
    assert [window["used"] for window in (await image_user.account())["quota"]] == [0, 0]
    async with Client(stack, "operator", role="admin") as operator:
        ok(await operator.http.post(f"/v1/accounts/{image_user.name}:plan", json={"plan": "premium"}))
    done = ok(await image_user.submit("sandbox/flaky", {"failures": 0}, prefer="wait=30"))
    assert done["status"] == "succeeded"
    account = await image_user.account()
    assert account["plan"] == "premium"
    assert [(window["window"], window["used"]) for window in account["quota"]] == [("month", 1)]


@pytest.mark.usefixtures("charged")
async def test_credits_come_back_with_time_and_never_pass_their_cap(stack: Stack) -> None:
    async with Client(stack, product="spike-land") as user:
        assert (await user.account())["balance"] == 100
        body = {"jobs": [{"model": "sandbox/echo"}] * 40}
        ok(await user.http.post("/v1/jobs:batch", json=body, headers={"Prefer": "wait=30"}))
        first = (await user.account())["balance"]
        assert 60 <= first < 75
        await asyncio.sleep(2.2)
        second = (await user.account())["balance"]
        assert second >= first + 2, "what is shown grows between events"
        told = ok(await user.submit(prefer="wait=30"))["balance"]
        assert second - 1 <= told <= 100
        lines = await user.ledger()
        assert any(line["kind"] == "regenerated" for line in lines)
        assert sum(line["change"] for line in lines) == lines[0]["balance"]


@pytest.mark.usefixtures("charged")
async def test_old_decisions_are_decided_again_under_their_own_plan(stack: Stack) -> None:
    told = await asyncio.to_thread(stack.audit)
    assert told["violations"] == []
