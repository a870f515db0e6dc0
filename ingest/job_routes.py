"""The write paths of jobs and of money, one table."""

from infra.http.documents import JobModel
from infra.http.routing import Answer, Body, Operation
from ingest import batch, estimate, native, operators
from ingest.batch_shapes import BatchModel, BatchQuery, BatchRequestModel, EstimateModel, EstimateRequestModel
from ingest.bodies import NDJSON
from ingest.money_shapes import (
    BalanceModel,
    GrantRequestModel,
    PlanChangedModel,
    PlanRequestModel,
    RefundedModel,
    RefundRequestModel,
)
from ingest.shapes import CanceledModel, JobRequestModel, KeyHeaders, PreferHeaders

POSITION = {"Darkroom-Position": "Where the decision stands; a read with it sees at least that far."}
JOB_EXAMPLE = {"model": "classical/upscale", "input": {"asset": "asset_…"}, "params": {"scale": 2}}
NDJSON_SCHEMA = {"type": "string", "description": "JSON objects, one a line: those that stand in the JSON form's list."}
_JOB = {"id": "The job."}
_ACCOUNT = {"account": "`PRODUCT:SUBJECT`, split at the first colon."}
_PENDING = "The command is on the log, not decided yet."

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
        body=Body(model=JobRequestModel, example=JOB_EXAMPLE),
        answers={
            200: Answer(description="The job has ended.", model=JobModel, headers=POSITION),
            202: Answer(description="The job is accepted (or, with status `pending`, on the log).", model=JobModel),
        },
        problems=(402, 403, 413, 422, 429, 503),
    ),
    Operation(
        method="POST",
        path="/v1/jobs:batch",
        handler=batch.submit_batch,
        name="submit-batch",
        audit="change",
        tag="Jobs",
        summary="Submit many jobs",
        description="Up to 10,000 jobs and 16 MiB, as JSON or as NDJSON with a job a line. Each is decided by itself "
        "and answered by itself, in order; one that is wrong does not stop the others. With the same `Idempotency-Key` "
        "the same body completes a batch that was cut off, and costs once. The answer is NDJSON where `Accept` asks "
        "for it. With `atomic=true` (up to 1,000 jobs) all are accepted together or none is: one answer with the "
        "group's id, or one problem.",
        query=BatchQuery,
        headers=PreferHeaders,
        body=Body(model=BatchRequestModel, also={NDJSON: NDJSON_SCHEMA}, example={"jobs": [JOB_EXAMPLE]}),
        answers={
            200: Answer(
                description="An answer for each job, in order. With `atomic`: all have ended.",
                model=BatchModel,
                also={NDJSON: NDJSON_SCHEMA},
                headers=POSITION,
            ),
            202: Answer(description="With `atomic`: all are accepted (or pending).", model=BatchModel),
        },
        problems=(402, 403, 408, 413, 415, 422, 429, 503),
    ),
    Operation(
        method="POST",
        path="/v1/estimate",
        handler=estimate.estimate,
        name="estimate",
        audit="read",
        tag="Jobs",
        summary="Estimate jobs",
        description="What one job or several (`jobs`, up to 1,000) would cost, what can be spent, and whether all "
        "would be accepted now; nothing is written. Other requests may come between, and a job that an earlier result "
        "answers again costs nothing.",
        body=Body(model=EstimateRequestModel, example=JOB_EXAMPLE),
        answers={200: Answer(description="Also for jobs that would be refused.", model=EstimateModel)},
        problems=(413, 415, 503),
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
        path_parameters=_JOB,
        headers=KeyHeaders,
        answers={
            200: Answer(description="The job is canceled.", model=CanceledModel, headers=POSITION),
            202: Answer(description="The cancel is on the log, not decided yet.", model=CanceledModel),
        },
        problems=(404, 409, 503),
    ),
    Operation(
        method="POST",
        path="/v1/jobs/{id}:refund",
        handler=operators.refund_job,
        name="refund-job",
        audit="change",
        tag="Operator",
        summary="Give a job's charge back",
        description="The job's units come back to its account, to the windows that they came from; once a job.",
        access="admin",
        path_parameters=_JOB,
        headers=KeyHeaders,
        body=Body(model=RefundRequestModel, example={"account": "darkroom:ada", "reason": "wrong picture"}),
        answers={
            200: Answer(description="The new balance.", model=RefundedModel, headers=POSITION),
            202: Answer(description=_PENDING, model=RefundedModel),
        },
        problems=(403, 404, 409, 422, 503),
    ),
    Operation(
        method="POST",
        path="/v1/accounts/{account:path}:grant",
        handler=operators.grant_credits,
        name="grant-credits",
        audit="change",
        tag="Operator",
        summary="Grant credits",
        description="Adds units to an account, which opens with it if it is not open.",
        access="admin",
        path_parameters=_ACCOUNT,
        headers=KeyHeaders,
        body=Body(model=GrantRequestModel, example={"amount": 100, "reason": "gift"}),
        answers={
            200: Answer(description="The new balance.", model=BalanceModel, headers=POSITION),
            202: Answer(description="The grant is on the log, not decided yet.", model=BalanceModel),
        },
        problems=(403, 409, 422, 503),
    ),
    Operation(
        method="POST",
        path="/v1/accounts/{account:path}:plan",
        handler=operators.set_plan,
        name="set-plan",
        audit="change",
        tag="Operator",
        summary="Put an account under another plan",
        description="From now on the account's jobs are decided by the terms of this plan of its product.",
        access="admin",
        path_parameters=_ACCOUNT,
        headers=KeyHeaders,
        body=Body(model=PlanRequestModel, example={"plan": "premium"}),
        answers={
            200: Answer(description="The plan is in force for the account.", model=PlanChangedModel, headers=POSITION),
            202: Answer(description=_PENDING, model=PlanChangedModel),
        },
        problems=(403, 422, 503),
    ),
)
