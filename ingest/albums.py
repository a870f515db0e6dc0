"""Albums: made, deleted, and pictures moved into them. Their names travel sealed."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import caller_of
from infra.http.links import album_path
from infra.http.requests import json_body
from infra.http.routing import port_of
from infra.sealing.content import ALBUM, AlbumSecrets, encode_secrets
from ingest.asset_shapes import album_decoder, move_decoder
from ingest.intake import Intake, Who, caller_as_who
from schemas.commands import CreateAlbum, DeleteAlbum, MoveAssets
from schemas.positions import Position
from schemas.replies import AlbumAccepted, AssetsMovedAnswer

_NO_ASSET = "The account has no such picture, or it is in as many albums as are possible."


async def create_album(request: Request) -> Response:
    """POST /v1/albums: usable when the 201 comes."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    body = await json_body(request, album_decoder)
    minted = intake.minted(request)
    sealed = await intake.sealed(who.account, ALBUM, encode_secrets(AlbumSecrets(body.name)))
    command = CreateAlbum(minted.id("album"), sealed)
    with intake.waiter(minted, who) as waiter:
        position = await intake.append(request, who, minted, "create-album", [body.name], command)
        decision = await intake.decided(request, who, waiter, position)
    album = decision.answer.album if isinstance(decision.answer, AlbumAccepted) else command.album
    document = {"id": album, "name": body.name, "position": str(decision.position)}
    location = ((b"location", (intake.ports.base_url + album_path(album)).encode()),)
    return JsonAnswer(202 if decision.answer is None else 201, document, location)


async def delete_album(request: Request) -> Response:
    """DELETE /v1/albums/{id}: the album ends, its pictures stay; 404 for one that is not there."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    album = request.path_params["id"]
    minted = intake.minted(request)
    with intake.waiter(minted, who) as waiter:
        position = await intake.append(request, who, minted, "delete-album", [album], DeleteAlbum(album))
        decision = await intake.decided(request, who, waiter, position)
    status = "pending" if decision.answer is None else "deleted"
    document = {"id": album, "status": status, "position": str(decision.position)}
    return JsonAnswer(202 if decision.answer is None else 200, document)


async def move_assets(request: Request) -> Response:
    """POST /v1/albums/{id}:move: what became of each picture, in the order of the request; 404 for a strange album."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    body = await json_body(request, move_decoder)
    command = MoveAssets(request.path_params["id"], tuple(body.assets), body.from_album)
    answer, position = await move(intake, request, who, command)
    document: dict[str, Any] = {"album": command.album, "moved": None, "failed": None, "results": None}
    if answer is not None:
        unknown = frozenset(answer.unknown)
        results = [_moved(asset, asset not in unknown) for asset in command.assets]
        failed = sum(asset in unknown for asset in command.assets)
        document = {"album": command.album, "moved": len(results) - failed, "failed": failed, "results": results}
    document["position"] = str(position)
    return JsonAnswer(202 if answer is None else 200, document)


async def move(
    intake: Intake, request: Request, who: Who, command: MoveAssets
) -> tuple[AssetsMovedAnswer | None, Position]:
    """Move the pictures; None where that is on the log, not decided yet. Raises Problem 404 and 503."""
    minted = intake.minted(request)
    content = [command.album, command.from_album, *command.assets]
    with intake.waiter(minted, who) as waiter:
        position = await intake.append(request, who, minted, "move-assets", content, command)
        decision = await intake.decided(request, who, waiter, position)
    return decision.answer if isinstance(decision.answer, AssetsMovedAnswer) else None, decision.position


def _moved(asset: str, success: bool) -> dict[str, Any]:
    return {"asset": asset, "success": success, "error": None if success else _NO_ASSET}
