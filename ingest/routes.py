"""Every write path in one table; those of pictures and albums stand in `ingest.asset_routes`."""

from infra.http.documents import JobModel
from infra.http.routing import Answer, Body, Operation
from ingest import asset_routes, native
from ingest.asset_routes import POSITION
from ingest.shapes import (
    BalanceModel,
    CanceledModel,
    GrantRequestModel,
    JobRequestModel,
    KeyHeaders,
    PreferHeaders,
)

_JOB_EXAMPLE = {"model": "classical/upscale", "input": {"asset": "asset_…"}, "params": {"scale": 2}}

ROUTES: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/v1/jobs",
        handler=native.submit_job,
        name="submit-job",
        audit="change",
        tag="Jobs",
        summary="Submit a job",
        description="Reserves the price and puts the job to work. Answers once it is decided; with `Prefer: wait=N` "
        "once it has ended, if it does within N seconds.",
        headers=PreferHeaders,
        body=Body(model=JobRequestModel, example=_JOB_EXAMPLE),
        answers={
            200: Answer(description="The job has ended.", model=JobModel, headers=POSITION),
            202: Answer(description="The job is accepted (or, with status `pending`, on the log).", model=JobModel),
        },
        problems=(402, 422, 429, 503),
    ),
    Operation(
        method="POST",
        path="/v1/jobs/{id}:cancel",
        handler=native.cancel_job,
        name="cancel-job",
        audit="change",
        tag="Jobs",
        summary="Cancel a job",
        description="Ends the job and gives its reservation back at once.",
        path_parameters={"id": "The job."},
        headers=KeyHeaders,
        answers={
            200: Answer(description="The job is canceled.", model=CanceledModel, headers=POSITION),
            202: Answer(description="The cancel is on the log, not decided yet.", model=CanceledModel),
        },
        problems=(404, 409, 503),
    ),
    *asset_routes.ROUTES,
    Operation(
        method="POST",
        path="/v1/accounts/{account:path}:grant",
        handler=native.grant_credits,
        name="grant-credits",
        audit="change",
        tag="Operator",
        summary="Grant credits",
        description="Adds units to an account, which opens with it if it is not open.",
        access="admin",
        path_parameters={"account": "`PRODUCT:SUBJECT`, split at the first colon."},
        headers=KeyHeaders,
        body=Body(model=GrantRequestModel, example={"amount": 100, "reason": "gift"}),
        answers={
            200: Answer(description="The new balance.", model=BalanceModel, headers=POSITION),
            202: Answer(description="The grant is on the log, not decided yet.", model=BalanceModel),
        },
        problems=(403, 422, 503),
    ),
)
