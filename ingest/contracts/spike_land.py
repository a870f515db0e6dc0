"""Document 002, spike-land, its writes: images uploaded, enhanced, moved and deleted, request to command to answer.

What is wrong with a request raises `Problem` in the core's words, which `schemas.wire.spike_land_errors` puts into the
document's; the one thing that only this document knows is that somebody else's public image is 403 and not 404.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import add_headers, caller_of
from infra.http.problems import Problem, WireProblem, bad_field
from infra.http.refusals import problem_of
from infra.http.requests import json_body
from infra.http.routing import port_of
from ingest.access import delete
from ingest.albums import move
from ingest.assets import NewAsset, Registered, register
from ingest.contracts.support import another, asset_of, checked_job
from ingest.discards import discard
from ingest.forms import Files, Form, FormFile, FormShape, receive_form
from ingest.groups import submit_group
from ingest.intake import Intake, Minted, Who, caller_as_who
from ingest.pictures import Wanted
from ingest.shapes import Preference
from ingest.submit import submit
from schemas.commands import MoveAssets
from schemas.refusals import AlbumUnknown, AssetUnknown
from schemas.replies import AssetsMovedAnswer
from schemas.wire import spike_land as wire
from schemas.wire import spike_land_requests as requests
from schemas.wire.spike_land_errors import FILES_MAX, NOT_YOUR_IMAGE, UPLOAD_FAILED, file_told

_UPLOAD = FormShape(texts={"albumId": requests.ID_CHARS_MAX}, files={"file": Files(Wanted("file"))})
_BATCH = FormShape(files={"files": Files(Wanted("files"), FILES_MAX, each_alone=True)}, bytes_max=wire.BATCH_BYTES_MAX)


async def upload(request: Request) -> Response:
    """POST /api/images/upload: the image can be used when the 200 comes; 202 where the log is late."""
    intake, who = _parties(request)
    minted, objects = intake.minted(request), intake.ports.objects
    async with intake.uploads.taken(who.account):
        form = await receive_form(request, objects, lambda _, __: f"{who.account}/{minted.id('asset')}", _UPLOAD)
    file, album = form.file("file"), form.texts.get("albumId") or None
    if file is None:
        raise bad_field("file", "This field is required.")
    if album is not None and not requests.is_album_id(album):
        await discard(objects, *form.stored)
        raise problem_of(AlbumUnknown(album), 0)
    made = await asset_of(intake, request, who, minted, file, album)
    image = requests.image_of_asset(made.asset)
    named = {"id": image, "name": file.name or wire.unnamed(image, made.object.format)}
    created_ms = made.created_ms or intake.ports.clock.now_ms()
    shown = {"isPublic": False, "viewCount": 0, "createdAt": wire.moment(created_ms)}
    document = {"success": True, "image": {**named, **_picture(intake, who, made), **shown}}
    return JsonAnswer(200 if made.decided else 202, document)


async def upload_many(request: Request) -> Response:
    """POST /api/images/batch-upload: what became of each file, in the order of the form."""
    intake, who = _parties(request)
    minted, ports = intake.minted(request), intake.ports
    async with intake.uploads.taken(who.account):
        form = await receive_form(
            request, ports.objects, lambda _, __: f"{who.account}/{ports.ids.mint('asset')}", _BATCH
        )
    if not form.files:
        raise bad_field("files", "This field is required.")
    if sum(file.object.bytes for file in form.files if file.object is not None) > wire.BATCH_BYTES_MAX:
        await discard(ports.objects, *form.stored)
        raise _BATCH.too_large()
    made = await _registered(intake, request, who, minted, form)
    results = [_result(intake, who, number, *one) for number, one in enumerate(zip(form.files, made, strict=True), 1)]
    successful = sum(one is not None for one in made)
    summary = {"total": len(results), "successful": successful, "failed": len(results) - successful}
    is_decided = all(one.decided for one in made if one is not None)
    return JsonAnswer(200 if is_decided else 202, {"success": True, "results": results, "summary": summary})


async def _registered(
    intake: Intake, request: Request, who: Who, minted: Minted, form: Form
) -> Sequence[Registered | None]:
    """The assets of the files, None for each that became none. Raises Problem where none at all could be kept.

    Each file has an operation of its own under the request's key, and all files are the content of each: a repeat gives
    the same images, and another batch under the key is refused at its first file.
    """
    content = [text for file in form.files for text in (file.object.sha256 if file.object else None, file.name)]
    made: list[Registered | None] = []
    for number, file in enumerate(form.files):
        if file.object is None:
            made.append(None)
            continue
        asset = file.object.key.rpartition("/")[2]
        new = NewAsset(asset=asset, object=file.object, file_name=file.name)
        fresh = another(intake, minted)
        try:
            made.append(await register(intake, request, who, fresh, f"batch-upload-{number}", content, new))
        except Problem as problem:
            rest = form.files[number + 1 :]
            await discard(intake.ports.objects, *(one.object.key for one in rest if one.object is not None))
            if problem.status < 500 or not any(made):
                raise
            return [*made, *[None] * (len(rest) + 1)]
    return made


def _result(intake: Intake, who: Who, number: int, file: FormFile, made: Registered | None) -> dict[str, Any]:
    """One file of a batch, as `StoredFile` or `FailedFile`."""
    name = file.name or f"file-{number}"
    if made is not None:
        image = requests.image_of_asset(made.asset)
        return {"success": True, "filename": name, "imageId": image, **_picture(intake, who, made)}
    if file.problem is None:
        return {"success": False, "filename": name, "error": UPLOAD_FAILED, "errorType": "database"}
    told = file_told(file.problem.code, file.problem.errors[0].message)
    return {"success": False, "filename": name, "error": told.error, "errorType": "validation"}


def _picture(intake: Intake, who: Who, made: Registered) -> dict[str, Any]:
    """What all answers say of a picture."""
    return {
        "url": intake.ports.links.shown(who.account, made.asset),
        "width": made.object.width,
        "height": made.object.height,
        "size": made.object.bytes,
        "format": wire.format_word(made.object.format),
    }


async def enhance(request: Request) -> Response:
    """POST /api/images/enhance: 200 once it is decided, 202 where that is late."""
    intake, who = _parties(request)
    prefer = _preference(intake, request, who)
    body = await json_body(request, requests.enhance_decoder)
    minted, asset = intake.minted(request), requests.asset_of_image(body.imageId)
    job = checked_job(intake, who, wire.MODEL, {"tier": body.tier}, asset=asset or body.imageId)
    if asset is None:
        raise _unknown(body.imageId)
    try:
        standing = await submit(intake, request, who, minted, job, prefer)
    except Problem as problem:
        raise await _own(intake, who, asset, problem) from problem
    document = {
        "success": True,
        "jobId": standing.job,
        "tokenCost": job.cost if standing.cost is None else standing.cost,
        "newBalance": standing.balance,
    }
    return JsonAnswer(200 if standing.is_decided else 202, document)


async def enhance_tiers(request: Request) -> Response:
    """POST /api/images/parallel-enhance: one group, all of its tokens reserved together or none."""
    intake, who = _parties(request)
    prefer = _preference(intake, request, who)
    body = await json_body(request, requests.parallel_decoder)
    minted, asset = intake.minted(request), requests.asset_of_image(body.imageId)
    wrong = requests.tiers_problem(body.tiers)
    if wrong is not None:
        raise bad_field("tiers", wrong)
    jobs = [checked_job(intake, who, wire.MODEL, {"tier": tier}, asset=asset or body.imageId) for tier in body.tiers]
    if asset is None:
        raise _unknown(body.imageId)
    try:
        made = await submit_group(intake, request, who, minted, jobs, prefer, operation="parallel-enhance")
    except Problem as problem:
        raise await _own(intake, who, asset, problem) from problem
    started = [
        {
            "jobId": standing.job,
            "tier": tier,
            "tokenCost": job.cost if standing.cost is None else standing.cost,
            "status": "PROCESSING",
        }
        for standing, tier, job in zip(made.jobs.standings, body.tiers, jobs, strict=True)
    ]
    total = sum(job.cost for job in jobs) if made.cost is None else made.cost
    document = {"success": True, "jobs": started, "totalCost": total, "newBalance": made.balance}
    return JsonAnswer(202 if made.cost is None else 200, document)


async def move_images(request: Request) -> Response:
    """POST /api/images/move-to-album: what became of each image, in the order of the request."""
    intake, who = _parties(request)
    body = await json_body(request, requests.move_decoder)
    for album in (body.targetAlbumId, body.removeFromSourceAlbum):
        if album is not None and not requests.is_album_id(album):
            raise problem_of(AlbumUnknown(album), 0)
    assets = [requests.asset_of_image(image) for image in body.imageIds]
    known = tuple(dict.fromkeys(asset for asset in assets if asset is not None))
    answer, _ = await move(intake, request, who, MoveAssets(body.targetAlbumId, known, body.removeFromSourceAlbum))
    if answer is None:
        undecided = dict.fromkeys(("moved", "failed", "alreadyInAlbum"))
        return JsonAnswer(202, {"success": True, **undecided, "results": []})
    return JsonAnswer(200, _moves(body.imageIds, assets, answer))


def _moves(images: Sequence[str], assets: Sequence[str | None], answer: AssetsMovedAnswer) -> dict[str, Any]:
    """The document of `MoveAnswer`; an image that is named again is in the album already."""
    moved, already = set(answer.moved), {*answer.already}
    counts = {"moved": 0, "failed": 0, "alreadyInAlbum": 0}
    results: list[dict[str, Any]] = []
    for image, asset in zip(images, assets, strict=True):
        if asset is None or asset not in moved | already:
            counts["failed"] += 1
            results.append({"imageId": image, "success": False, "error": wire.NOT_MOVED})
            continue
        counts["moved" if asset in moved else "alreadyInAlbum"] += 1
        moved.discard(asset)
        already.add(asset)
        results.append({"imageId": image, "success": True})
    return {"success": True, **counts, "results": results}


async def delete_image(request: Request) -> Response:
    """DELETE /api/images/{id}: access to the image and to all that was made of it ends; running jobs are cancelled."""
    intake, who = _parties(request)
    asset = requests.asset_of_image(request.path_params["id"])
    if asset is None:
        raise _unknown(request.path_params["id"])
    try:
        answer, _ = await delete(intake, request, who, asset, results=True)
    except Problem as problem:
        raise await _own(intake, who, asset, problem) from problem
    if answer is None:
        return JsonAnswer(202, {"success": True, "message": wire.DELETING})
    return JsonAnswer(200, {"success": True, "message": wire.DELETED})


def _parties(request: Request) -> tuple[Intake, Who]:
    return port_of(request, Intake), caller_as_who(caller_of(request))


def _preference(intake: Intake, request: Request, who: Who) -> Preference:
    """How long to wait; said in the answer where the client has chosen."""
    prefer = intake.waiting(request, who)
    if prefer.applied is not None:
        add_headers(request.scope, [(b"preference-applied", prefer.applied.encode())])
    return prefer


def _unknown(image: str) -> Problem:
    return Problem(404, "not-found", f"The account has no image {image[:64]}.")


async def _own(intake: Intake, who: Who, asset: str, problem: Problem) -> Problem:
    """The problem; where the account has no such image, but somebody else shows it to all, that it is not one's own."""
    if problem.status not in (404, 410) and not isinstance(problem.refusal, AssetUnknown):
        return problem
    owner = await intake.ports.read_side.public_owner(asset)
    is_foreign = owner is not None and owner.account != who.account and owner.product == who.product
    return WireProblem(NOT_YOUR_IMAGE.answer()) if is_foreign else problem
