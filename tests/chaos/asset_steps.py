"""What people ask of pictures and albums: every way in, publication and views, deletion."""

from __future__ import annotations

import httpx

from tests.chaos.asker import Asker, Person
from tests.chaos.nemesis import asked_until_answered
from tests.pictures import encoded, scene

GONE = (404, 410)


async def upload(asker: Asker, person: Person) -> None:
    """A small picture, or a mask of that size."""
    picture = encoded(scene(32, 24, seed=asker.draw.randrange(4)), "PNG")
    body = await asker.ask("upload", person, "POST", "/v1/assets", (201, 202), files={"file": ("a.png", picture)})
    if body is not None:
        (person.masks if asker.draw.random() < 0.2 else person.assets).append(body["id"])


async def presigned(asker: Asker, person: Person) -> None:
    """Past the gateway into the store, then made an asset."""
    body = await asker.ask("presign", person, "POST", "/v1/assets:presign", (200,), json={}, commands=0)
    if body is None:
        return
    picture = encoded(scene(32, 24, seed=asker.draw.randrange(4)), "PNG")
    async with httpx.AsyncClient() as store:
        put = await asked_until_answered(lambda: store.put(body["url"], content=picture, headers=body["headers"]))
    if put is None or not put.is_success:
        asker.wrong.append(f"presigned put: {put}")
        return
    path = f"/v1/assets/{body['id']}:complete"
    done = await asker.ask("complete", person, "POST", path, (201, 202), json={"file_name": "a.png"})
    if done is not None:
        person.assets.append(done["id"])


async def fetched(asker: Asker, person: Person) -> None:
    """The deployment's own media URL stands for the asset itself."""
    if person.assets:
        url = f"{asker.operator.stack.url}/v1/media/{asker.draw.choice(person.assets)}"
        await asker.ask("fetch", person, "POST", "/v1/assets:fetch", (200, 400), json={"url": url}, commands=0)


async def album(asker: Asker, person: Person) -> None:
    """Made, filled or dropped."""
    if not person.albums or asker.draw.random() < 0.3:
        made = await asker.ask("album", person, "POST", "/v1/albums", (201, 202), json={"name": "Storm"})
        if made is not None:
            person.albums.append(made["id"])
    elif asker.draw.random() < 0.15:
        path = f"/v1/albums/{person.albums.pop()}"
        await asker.ask("drop-album", person, "DELETE", path, (200, 202, 404))
    elif person.assets:
        moved = {"assets": asker.draw.sample(person.assets, min(3, len(person.assets)))}
        path = f"/v1/albums/{asker.draw.choice(person.albums)}:move"
        await asker.ask("move", person, "POST", path, (200, 202, 404), json=moved)


async def publish(asker: Asker, person: Person) -> None:
    """For everybody; then a stranger looks, and now and then it is private again."""
    if not person.assets:
        return
    asset = asker.draw.choice(person.assets)
    done = await asker.ask("publish", person, "POST", f"/v1/assets/{asset}:publish", (200, 202, *GONE))
    if done is not None:
        async with httpx.AsyncClient(base_url=asker.operator.stack.url) as stranger:
            await asker.read(lambda: stranger.get(done["url"]), (200, *GONE))
    if asker.draw.random() < 0.3:
        await asker.ask("unpublish", person, "POST", f"/v1/assets/{asset}:unpublish", (200, 202, *GONE))


async def delete(asker: Asker, person: Person) -> None:
    """With the jobs on it."""
    if len(person.assets) > 2:
        asset = person.assets.pop(asker.draw.randrange(len(person.assets)))
        await asker.ask("delete", person, "DELETE", f"/v1/assets/{asset}", (200, 202, *GONE))
