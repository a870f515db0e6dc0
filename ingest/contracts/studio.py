"""Document 004, studio, its writes: a form becomes a job and its results; results are deleted by number or URL.

Theory of operation. The form is read and checked as a whole before anything is on the log; what was stored of one that
is refused is removed, and so are files that the model does not take. Image and mask then become assets under keys of
their own, and the job goes under the client's: a repeat is known by its fields and its files' bytes, and the files that
it brought are taken back. So are those of a job that the decider refuses. What was uploaded is no result: it has no
place in the library, no download and no deletion.

A browser (known by its cookie) remembers the generation that it waits for in a cookie. That is all the state there is
beside jobs, so `clear-generation-state` forgets that and cancels nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import lru_cache

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import add_headers, caller_of
from infra.http.cookies import POSITION_COOKIE, cookies_of, is_cookie_client, set_cookie
from infra.http.problems import Problem, WireProblem
from infra.http.requests import header_once, json_body
from infra.http.routing import port_of
from infra.postgres.outcomes import KnownAsset
from ingest.access import delete
from ingest.contracts.support import asset_of, checked_job, delete_unused, take_back
from ingest.discards import discard
from ingest.forms import Files, Form, FormFile, FormShape, receive_form
from ingest.intake import Intake, Minted, Who, caller_as_who
from ingest.jobs import CheckedJob, input_problem
from ingest.pictures import Wanted
from ingest.shapes import Preference
from ingest.standing import Standing
from ingest.submit import submit
from schemas.catalogue import Catalogue
from schemas.identifiers import partition_of
from schemas.positions import parse_position
from schemas.wire import studio as wire
from schemas.wire.studio_documents import DeleteImageRequest
from schemas.wire.studio_errors import (
    ASSET_NOT_FOUND,
    IMAGE_NOT_FOUND,
    INVALID_URL,
    change_error,
    error,
    failure,
)
from schemas.wire.studio_form import IMAGE, IMAGE_BYTES_MAX, MASK, VIDEO_BYTES_MAX, form_texts, wanted
from schemas.wire.studio_paths import EXTENSIONS, Media, media_at, media_kind, number_of, request_id

_SEED_DOMAIN = b"darkroom seed of a generation\n"
_SEEDS = 1 << 31
_url = msgspec.json.Decoder(DeleteImageRequest)


async def generate(request: Request) -> Response:
    """POST /api/generate: 200 with the results, 202 while the generation goes on."""
    intake, who = port_of(request, Intake), caller_as_who(caller_of(request))
    prefer = intake.waiting(request, who)
    if prefer.applied is not None:
        add_headers(request.scope, [(b"preference-applied", prefer.applied.encode())])
    standing = await submitted(intake, request, who, prefer)
    named = request_id(standing.job)
    if standing.has_ended and standing.status != "succeeded":
        follow(request, None)
        raise WireProblem(failure(named, standing.reason))
    if standing.result is None or standing.asset_number is None:
        follow(request, named)
        return JsonAnswer(202, {"status": "pending", "request_id": named})
    follow(request, None)
    has_thumbnail = standing.thumbnail is not None
    result = wire.result_document(standing.asset_number, standing.result.format, has_thumbnail=has_thumbnail)
    return JsonAnswer(200, {"results": [result], "request_id": named})


async def submitted(intake: Intake, request: Request, who: Who, prefer: Preference) -> Standing:
    """The generation that the request's form asks for, as it stands at the end of what its client waits for.

    Raises Problem; then nothing of the form is kept.
    """
    minted = intake.minted(request)
    job, files = await _received(intake, request, who, minted)
    assets = await _registered(intake, request, who, files)
    try:
        standing = await submit(intake, request, who, minted, job, prefer)
    except Problem as problem:
        await take_back(intake, request, who, minted, problem, *assets)
        raise
    if standing.job != minted.id("job"):
        await delete_unused(intake, request, who, *assets)
    return standing


def follow(request: Request, generation: str | None) -> None:
    """Let a browser remember the generation of this request id as the one it waits for; None: forget which it was."""
    cookie = wire.GENERATION_COOKIE
    if generation is not None and is_cookie_client(request.scope):
        set_cookie(request.scope, cookie, generation, max_age_s=wire.GENERATION_COOKIE_S)
    elif generation is None and cookie in cookies_of(request.scope):
        set_cookie(request.scope, cookie, "", max_age_s=0)


async def clear_generation_state(request: Request) -> Response:
    """POST /api/clear-generation-state: the browser follows no generation any more."""
    follow(request, None)
    return JsonAnswer(200, {"success": True, "message": wire.CLEARED})


async def delete_asset(request: Request) -> Response:
    """DELETE /api/assets/{asset_id}: 200; 202 where it is on the log and not decided yet."""
    number = number_of(request.path_params["asset_id"])
    is_done = await deleted(request, number, ASSET_NOT_FOUND)
    return JsonAnswer(200 if is_done else 202, {"success": True, "message": wire.DELETED if is_done else wire.DELETING})


async def delete_image(request: Request) -> Response:
    """POST /api/delete-image: the same for the `url` of a result, exactly as answers show it."""
    media = media_at((await json_body(request, _url)).url)
    if media is None:
        raise WireProblem(change_error(400, INVALID_URL))
    is_done = await deleted(request, media.number, IMAGE_NOT_FOUND, media)
    return JsonAnswer(200 if is_done else 202, {"success": True})


async def deleted(request: Request, number: int | None, missing: str, media: Media | None = None) -> bool:
    """End access to the caller's result of this number, and of this kind; False while that is not decided yet.

    Raises Problem 404 saying `missing` for what is none, or gone before, and 503.
    """
    intake, who = port_of(request, Intake), caller_as_who(caller_of(request))
    known = None if number is None else await _numbered(intake, request, who, number)
    if known is None or known.job is None or (media is not None and not _is(known, media)):
        raise WireProblem(change_error(404, missing))
    try:
        answer, _ = await delete(intake, request, who, known.asset)
    except Problem as problem:
        if problem.status in (404, 410):
            raise WireProblem(change_error(404, missing)) from problem
        raise
    return answer is not None


async def _received(
    intake: Intake, request: Request, who: Who, minted: Minted
) -> tuple[CheckedJob, Sequence[FormFile]]:
    """The job and the stored files that it works on. Raises Problem; then none is stored."""
    objects, ids = intake.ports.objects, intake.ports.ids
    shape = _shape(intake.ports.catalogue)
    async with intake.uploads.taken(who.account):
        form = await receive_form(request, objects, lambda _, __: f"{who.account}/{ids.mint('asset')}", shape)
    try:
        job, taken = _checked(intake, who, form, _seed(intake, who, minted))
    except Problem:
        await discard(objects, *form.stored)
        raise
    await discard(objects, *(key for key in form.stored if key not in map(_key, taken)))
    return job, taken


@lru_cache(maxsize=8)
def _shape(catalogue: Catalogue) -> FormShape:
    files = {name: Files(Wanted(name, bytes_max=IMAGE_BYTES_MAX, status=400)) for name in (IMAGE, MASK)}
    return FormShape(texts=form_texts(catalogue), files=files, bytes_max=VIDEO_BYTES_MAX)


def _checked(intake: Intake, who: Who, form: Form, seed: int) -> tuple[CheckedJob, Sequence[FormFile]]:
    """The job and those of the files that its model takes. Raises Problem."""
    image, mask = form.file(IMAGE), form.file(MASK)
    given = {"has_image": image is not None, "has_mask": mask is not None}
    asked = wanted(intake.ports.catalogue, form.texts, **given, seed=seed)
    if isinstance(asked, str):
        raise WireProblem(error(400, asked))
    image, mask = image if asked.takes_image else None, mask if asked.takes_mask else None
    taken = [file for file in (image, mask) if file is not None]
    sizes = {_asset(file): (file.object.width, file.object.height) for file in taken if file.object is not None}
    asset, mask_asset = (None if file is None else _asset(file) for file in (image, mask))
    job = checked_job(intake, who, asked.entry.slug, asked.params, asset=asset, mask=mask_asset)
    problem = input_problem(job, sizes)
    if problem is not None:
        raise problem
    return replace(job, bytes_of=_sha256(image), mask_bytes_of=_sha256(mask)), taken


async def _registered(intake: Intake, request: Request, who: Who, files: Sequence[FormFile]) -> list[str]:
    """The files as assets. Raises Problem; then none is kept."""
    assets: list[str] = []
    for number, file in enumerate(files):
        upload = Minted(intake.ports.ids.mint("x")[2:], intake.ports.ids.mint("idem"))
        try:
            assets.append((await asset_of(intake, request, who, upload, file)).asset)
        except Problem:
            await discard(intake.ports.objects, *(_key(rest) for rest in files[number + 1 :]))
            await delete_unused(intake, request, who, *assets)
            raise
    return assets


async def _numbered(intake: Intake, request: Request, who: Who, number: int) -> KnownAsset | None:
    """The asset of the number. One that is not known is looked for again once what the client has seen is known."""
    read_side = intake.ports.read_side
    known = await read_side.numbered_asset(who.account, number)
    if known is not None:
        return known
    last = intake.ports.last_positions.of(who.account)
    told = [header_once(request, "darkroom-position"), cookies_of(request.scope).get(POSITION_COOKIE)]
    positions = [last, *(parse_position(text) for text in told if text)]
    partition = partition_of(who.account, intake.ports.partitions)
    for position in positions:
        if position is not None and position.partition == partition and not await intake.caught_up(position):
            detail = "The read models are behind, so it is not known what has the number; try again."
            raise Problem(503, "behind", detail, headers={"Retry-After": "1"})
    return await read_side.numbered_asset(who.account, number)


def _is(known: KnownAsset, media: Media) -> bool:
    """Whether the asset is what its URL says."""
    form = known.object.format
    return media.kind == media_kind(form) and media.extension in (None, EXTENSIONS.get(form, form))


def _seed(intake: Intake, who: Who, minted: Minted) -> int:
    """Another one for each generation, the same for a repeat under its key."""
    named = _SEED_DOMAIN + f"{who.account}\n{minted.key}".encode()
    return int.from_bytes(hmac.digest(intake.ports.identifier_key, named, "sha256")[:8]) % _SEEDS


def _key(file: FormFile) -> str:
    assert file.object is not None, "a file that failed is told before"
    return file.object.key


def _asset(file: FormFile) -> str:
    return _key(file).rpartition("/")[2]


def _sha256(file: FormFile | None) -> str | None:
    return None if file is None or file.object is None else file.object.sha256
