"""What people ask of jobs: batches, groups, every engine, repeats of identical ones, cancels, estimates."""

from __future__ import annotations

from typing import Any

from tests.chaos.asker import Asker, Person
from tests.pictures import encoded, scene

ITEMS = (5, 20, 60)
GROUPED = 5
ENGINES: dict[str, dict[str, Any]] = {
    "classical/upscale": {"scale": 2},
    "classical/denoise": {},
    "classical/restore": {},
    "classical/colorize": {},
    "classical/stylize": {},
    "classical/sharpen": {},
    "classical/background": {},
}
CARDS: dict[str, dict[str, Any]] = {
    "sandbox/flaky": {"failures": 1},
    "sandbox/broken": {},
    "sandbox/slow": {"seconds": 1},
    "sandbox/echo": {"seed": 7},
}
PROMPTS = ("a lighthouse at dusk", "three red kites", "fog over a harbour")
SUBMITTED = (200, 202, 402, 429)
ON_PICTURE = (*SUBMITTED, 400)
"""400: the picture was deleted meanwhile, or its plan took it away when its job had ended."""


async def batch(asker: Asker, person: Person) -> None:
    """Many jobs, one of them of a model that nobody knows: it alone is refused."""
    items = asker.draw.choice(ITEMS)
    jobs: list[dict[str, Any]] = [
        {"model": "sandbox/echo", "params": {"seed": asker.draw.randrange(256)}, "metadata": {"n": n}}
        for n in range(items)
    ]
    wrong = asker.draw.randrange(items)
    jobs[wrong] = {"model": "sandbox/unheard-of"}
    more: dict[str, Any] = {"prefer": asker.draw.choice((None, None, "wait=0", "wait=3"))}
    body = await asker.ask(
        "batch", person, "POST", "/v1/jobs:batch", (200,), json={"jobs": jobs}, commands=items, **more
    )
    if body is None:
        return
    statuses = [result["status"] for result in body["results"]]
    expected = {200, 202} if person.client.product == "darkroom" else {200, 202, 402, 429}
    if len(statuses) != items or statuses[wrong] != 400 or not {*statuses[:wrong], *statuses[wrong + 1 :]} <= expected:
        asker.wrong.append(f"batch answered {statuses}")
    for result in body["results"]:
        if result.get("job"):
            person.owns(result["job"])


async def group(asker: Asker, person: Person) -> None:
    """All or none; now and then one job names a picture that is not there."""
    jobs: list[dict[str, Any]] = [{"model": "sandbox/echo", "metadata": {"n": n}} for n in range(GROUPED)]
    allowed: tuple[int, ...] = SUBMITTED
    if asker.draw.random() < 0.1:
        jobs[-1] = {"model": "classical/upscale", "input": {"asset": "asset_none"}}
        allowed = (400, 402, 429)
    path, prefer = "/v1/jobs:batch?atomic=true", asker.draw.choice((None, None, "wait=3"))
    body = await asker.ask("group", person, "POST", path, allowed, json={"jobs": jobs}, commands=GROUPED, prefer=prefer)
    if body is not None:
        for result in body["results"]:
            person.owns(result["job"], body["group"])


async def engine(asker: Asker, person: Person) -> None:
    """A filter on one of the person's pictures."""
    if person.assets:
        model, params = asker.draw.choice(list(ENGINES.items()))
        body = {"model": model, "params": params, "input": {"asset": asker.draw.choice(person.assets)}}
        await submit(asker, "engine", person, body, ON_PICTURE)


async def inpainted(asker: Asker, person: Person) -> None:
    """A picture with a mask of its own; a mask may be deleted, too."""
    for held in (person.assets, person.masks):
        if not held:
            return
    chosen = {"asset": person.assets[-1], "mask": asker.draw.choice(person.masks)}
    body = {"model": "classical/inpaint", "params": {"prompt": asker.draw.choice(PROMPTS)}, "input": chosen}
    await submit(asker, "inpaint", person, body, ON_PICTURE)


async def imagined(asker: Asker, person: Person) -> None:
    """A picture out of words."""
    params = {"prompt": asker.draw.choice(PROMPTS), "size": "256x256", "seed": asker.draw.randrange(4)}
    await submit(asker, "imagined", person, {"model": "procedural/image", "params": params}, SUBMITTED)


async def filmed(asker: Asker, person: Person) -> None:
    """A short film of a picture."""
    if person.assets:
        chosen = {"asset": asker.draw.choice(person.assets)}
        body = {"model": "procedural/video", "params": {"seconds": 2}, "input": chosen}
        await submit(asker, "video", person, body, ON_PICTURE)


async def card(asker: Asker, person: Person) -> None:
    """A test card of every temper but the worst."""
    model, params = asker.draw.choice(list(CARDS.items()))
    await submit(asker, "card", person, {"model": model, "params": params}, SUBMITTED)


async def crash(asker: Asker, person: Person) -> None:
    """The test card that takes its engine down."""
    await submit(asker, "crash", person, {"model": "sandbox/crash"}, SUBMITTED)


async def identical(asker: Asker, person: Person) -> None:
    """The same picture, uploaded and enlarged twice: where the plan says so, the second is the first's result."""
    same = {"file": ("same.png", encoded(scene(24, 16, seed=1), "PNG"))}
    costs = []
    for _ in range(2):
        uploaded = await asker.ask("upload", person, "POST", "/v1/assets", (201, 202), files=same)
        if uploaded is None:
            return
        body = {"model": "classical/upscale", "params": {"scale": 2}, "input": {"asset": uploaded["id"]}}
        done = await submit(asker, "identical", person, body, SUBMITTED, prefer="wait=20")
        if done is None or done["status"] != "succeeded":
            return
        costs.append(done["cost"])
    if person.client.product == "ai-image" and costs[1] != 0:
        asker.wrong.append(f"identical {person.client.name}: the second cost {costs[1]}")


async def cancel(asker: Asker, person: Person) -> None:
    """Of a job that may still be live."""
    if person.jobs:
        path = f"/v1/jobs/{asker.draw.choice(person.jobs[-30:])}:cancel"
        await asker.ask("cancel", person, "POST", path, (200, 202, 404, 409))


async def estimate(asker: Asker, person: Person) -> None:
    """What jobs would cost; nothing is written, and nobody is refused for want of money."""
    jobs = [{"model": "sandbox/echo"}, {"model": "procedural/image", "params": {"prompt": "x", "size": "256x256"}}]
    body = {"jobs": jobs} if asker.draw.random() < 0.5 else jobs[1]
    await asker.ask("estimate", person, "POST", "/v1/estimate", (200,), json=body, commands=0)


async def submit(
    asker: Asker,
    kind: str,
    person: Person,
    body: dict[str, Any],
    allowed: tuple[int, ...],
    prefer: str | None = None,
) -> dict[str, Any] | None:
    """One job, waited for in any of the ways that there are."""
    prefer = prefer or asker.draw.choice((None, None, "respond-async", "wait=5", "wait=0"))
    answer: dict[str, Any] | None = await asker.ask(kind, person, "POST", "/v1/jobs", allowed, json=body, prefer=prefer)
    if answer is not None:
        person.owns(answer)
    return answer
