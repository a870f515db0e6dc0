"""The read model `jobs` as SQL."""

from collections.abc import Mapping

from projections import rows as r
from projections.statements import coalesced, inserted
from schemas.durations import BOUNDS_MS, NO_BUCKET

_CHANGING = tuple(name for name in r.JobChange.__struct_fields__ if name not in ("account", "job", "position"))
_BOUNDS = f"ARRAY[{', '.join(map(str, BOUNDS_MS))}]::bigint[]"


def _bucket(begin: str, end: str) -> str:
    """The bucket of a duration of the job; none where it has no such times, or ended without having run."""
    return (
        f"CASE WHEN u.status IN ('succeeded', 'failed') THEN coalesce(width_bucket({end} - {begin}, {_BOUNDS}),"
        f" {NO_BUCKET}) ELSE {NO_BUCKET} END"
    )


STATEMENTS: Mapping[type[r.Row], str] = {
    r.NewJob: inserted("jobs"),
    r.JobChange: f"""
        UPDATE jobs AS t SET position = u.position, {coalesced(*_CHANGING)}
        FROM json_populate_recordset(NULL::jobs, %s::json) AS u
        WHERE t.account = u.account AND t.job = u.job""",
    r.JobHide: """
        UPDATE jobs AS t SET position = u.position, hidden_ms = u.hidden_ms
        FROM json_to_recordset(%s::json) AS u(account text, job text, position text, hidden_ms bigint)
        WHERE t.account = u.account AND t.job = u.job""",
    r.ResultGone: """
        UPDATE jobs AS t SET result_gone = u.reason
        FROM json_to_recordset(%s::json) AS u(account text, asset text, reason text)
        WHERE t.account = u.account AND t.asset = u.asset""",
    r.ResultsErased: """
        UPDATE jobs AS t SET result_gone = 'erased'
        FROM json_to_recordset(%s::json) AS u(account text, through bigint)
        WHERE t.account = u.account AND t.asset IS NOT NULL AND t.asset_number <= u.through
            AND t.result_gone IS NULL""",
    r.JobCount: f"""
        INSERT INTO job_counts AS t (account, day_ms, model, status, wait, run, jobs, credits)
        SELECT u.account, u.day_ms, j.model, u.status, {_bucket("j.accepted_ms", "j.running_ms")},
            {_bucket("j.running_ms", "j.ended_ms")}, count(*),
            sum(CASE u.status WHEN 'succeeded' THEN j.charged WHEN 'refunded' THEN j.refunded ELSE 0 END)
        FROM json_to_recordset(%s::json) AS u(account text, job text, day_ms bigint, status text)
        JOIN jobs AS j ON j.account = u.account AND j.job = u.job
        GROUP BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (account, day_ms, model, status, wait, run) DO UPDATE
            SET jobs = t.jobs + excluded.jobs, credits = t.credits + excluded.credits""",
}

COPIES: Mapping[type[r.Row], tuple[str, tuple[str, ...]]] = {
    r.JobEvents: ("job_events", ("text", "text", "int8", "text")),
    r.NewGroup: ("job_groups", ("text", "text", "int8", "int4", "int8", "int8", "int8", "int8", "text")),
    r.NotMade: ("not_made", ("text", "text", "int8", "text", "text", "text", "int8", "text")),
}
