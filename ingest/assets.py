"""Pictures of an account: uploaded, made public or private again, deleted."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import caller_of
from infra.http.documents import asset_document
from infra.http.problems import Problem
from infra.http.routing import port_of
from infra.sealing.content import ASSET, AssetSecrets, encode_secrets
from ingest.discards import discard
from ingest.idempotency import outcome_unknown
from ingest.intake import Intake, Minted, Who, caller_as_who
from ingest.pictures import Wanted
from ingest.uploads import receive_upload
from schemas.commands import RegisterAsset, StoredObject
from schemas.positions import Position
from schemas.replies import AssetAccepted


class NewAsset(msgspec.Struct, frozen=True, kw_only=True):
    """Stored bytes that are to become an asset."""

    asset: str
    object: StoredObject
    file_name: str | None = None
    album: str | None = None


class Registered(msgspec.Struct, frozen=True):
    """The asset that a registration made (now, or earlier under the same key); not `decided`: it is on the log.

    `number` is its own in its account, `created_ms` when it was made; both are 0 while that is not decided.
    """

    asset: str
    object: StoredObject
    position: Position
    decided: bool
    number: int = 0
    created_ms: int = 0


async def upload_asset(request: Request) -> Response:
    """POST /v1/assets: the picture is usable when the 201 comes."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    minted = intake.minted(request)
    asset = minted.id("asset")
    async with intake.uploads.taken(who.account):
        wanted = Wanted("file")
        upload = await receive_upload(request, intake.ports.objects, f"{who.account}/{asset}", wanted)
    new = NewAsset(asset=asset, object=upload.object, file_name=upload.file_name, album=upload.album)
    content = [upload.object.sha256, upload.file_name, *([upload.album] if upload.album else ())]
    registered = await register(intake, request, who, minted, "register-asset", content, new)
    return asset_answer(intake, registered)


async def register(
    intake: Intake,
    request: Request,
    who: Who,
    minted: Minted,
    operation: str,
    content: Sequence[str | None],
    new: NewAsset,
) -> Registered:
    """Make the stored bytes an asset. Raises Problem; then they are removed, unless the log may name them.

    A repeat under the same key gives the first one's asset, whose bytes are the ones that count: the new ones go.
    """
    key = new.object.key
    try:
        sealed = None
        if new.file_name:
            sealed = await intake.sealed(who.account, ASSET, encode_secrets(AssetSecrets(new.file_name)))
        command = RegisterAsset(new.asset, new.object, sealed, new.album)
        with intake.waiter(minted, who) as waiter:
            position = await intake.append(request, who, minted, operation, content, command)
            decision = await intake.decided(request, who, waiter, position)
    except Problem as problem:
        if problem.code != outcome_unknown("").code:  # then the command may stand on the log and name the object
            await discard(intake.ports.objects, key)
        raise
    answer = decision.answer
    accepted = answer if isinstance(answer, AssetAccepted) else AssetAccepted(new.asset, 0, new.object)
    if accepted.object.key != key:
        await discard(intake.ports.objects, key)
    intake.sizes.note(who.account, accepted.asset, (accepted.object.width, accepted.object.height))
    made = (accepted.number, accepted.created_ms)
    return Registered(accepted.asset, accepted.object, decision.position, answer is not None, *made)


def asset_answer(intake: Intake, registered: Registered, status: int = 201) -> Response:
    """`status` with the asset; 202 while it is not decided."""
    position = str(registered.position)
    document = asset_document(intake.ports.base_url, registered.asset, registered.object, position)
    location = ((b"location", document["url"].encode()),)
    return JsonAnswer(status if registered.decided else 202, document, location)
