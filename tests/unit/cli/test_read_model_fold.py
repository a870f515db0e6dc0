"""The audit's own fold: what rows the log asks for, by the plain meaning of its events."""

from __future__ import annotations

from dataclasses import dataclass, field

from infra.cli.read_model_fold import AssetSaid, AssetsFold, BalancesFold, JobSaid, JobsFold, Totals, add_to_all
from processors.audit import PartitionAudit
from processors.audit_spill import InMemory
from schemas import events as ev
from schemas.commands import StoredObject

ACCOUNT = "acct_" + "a" * 26
STORED = StoredObject("k", 10, "0" * 64, "png", 8, 8)


@dataclass
class Folds:
    """The folds of all models, and the laws beside them."""

    audit: PartitionAudit = field(default_factory=lambda: PartitionAudit(0))
    jobs: JobsFold = field(default_factory=lambda: JobsFold(InMemory()))
    balances: BalancesFold = field(default_factory=lambda: BalancesFold(InMemory()))
    assets: AssetsFold = field(default_factory=lambda: AssetsFold(InMemory()))


def fold_of(*data: ev.AnyEvent) -> Folds:
    made = Folds()
    for number, one in enumerate(data):
        event = ev.Event(f"0.{number}.0.0", ACCOUNT, "darkroom", number + 1, number, "cmd_1", "user", one, last=True)
        made.audit.add(event)
        add_to_all([made.jobs, made.balances, made.assets], event)
    return made


def accepted(job: str) -> ev.JobAccepted:
    return ev.JobAccepted(
        job=job,
        model="m",
        engine="e",
        engine_version="1",
        lane="standard",
        params={},
        input=None,
        sealed=None,
        cost=3,
        plan="default",
        plan_version=1,
        attempts_max=3,
        run_deadline_ms=1,
        in_flight_jobs_max=1,
        queue_number=0,
        queue_until_ms=1,
        client_waits_until_ms=None,
        balance=7,
        reply=None,
        idempotency=None,
    )


def succeeded(job: str, asset: str, number: int) -> ev.JobSucceeded:
    return ev.JobSucceeded(job, 1, asset, number, STORED, 1)


def reused(job: str, asset: str, number: int) -> ev.JobReused:
    return ev.JobReused(
        job, "m", "e", "1", "standard", {}, None, None, "default", 1, "job_1", asset, number, STORED, 7, None
    )


def hidden(job: str, balance: int = 0) -> ev.JobHidden:
    return ev.JobHidden(job, False, balance, None)


def registered(asset: str, number: int) -> ev.AssetRegistered:
    return ev.AssetRegistered(asset, number, STORED, None, None)


def test_a_job_is_charged_given_back_and_reused() -> None:
    fold = fold_of(
        accepted("job_1"),
        ev.CreditsReserved("job_1", 3, (), 1, 7),
        succeeded("job_1", "asset_1", 1),
        ev.CreditsCaptured("job_1", 3, 1, 7),
        reused("job_2", "asset_2", 2),
        ev.CreditsRefunded("job_1", 3, (), 1, "wrong", 10, None),
    )
    assert fold.jobs.jobs == {
        f"{ACCOUNT} job_1": JobSaid("succeeded", 3, 3),
        f"{ACCOUNT} job_2": JobSaid("succeeded", 0, 0),
    }
    assert set(fold.assets.assets) == {f"{ACCOUNT} asset_1", f"{ACCOUNT} asset_2"}
    assert fold.balances.accounts == {ACCOUNT: Totals(6, 0, 0, 3, 3, 0, 0)}


def test_a_job_is_hidden_and_what_never_was_is_not() -> None:
    fold = fold_of(accepted("job_1"), ev.JobExpired("job_1"), *(hidden(job) for job in ("job_1", "job_1", "job_9")))
    assert fold.jobs.jobs == {f"{ACCOUNT} job_1": JobSaid("expired", hidden=True)}
    assert fold.audit.violations == []


def test_a_hide_of_a_job_that_lives_or_that_takes_money_along_breaks_a_law() -> None:
    fold = fold_of(accepted("job_1"), hidden("job_1"), ev.JobExpired("job_1"), hidden("job_1", balance=3))
    assert [violation.law for violation in fold.audit.violations] == [
        "only-what-has-ended-is-hidden",
        "balance-is-what-the-books-say",
    ]


def test_pictures_are_viewed_deleted_and_erased() -> None:
    fold = fold_of(
        registered("asset_1", 1),
        registered("asset_2", 2),
        ev.VisibilityChanged("asset_1", True),
        ev.AssetsViewed((("asset_1", 2), ("asset_1", 1))),
        ev.AlbumCreated("album_1", None, None),
        ev.AlbumCreated("album_2", None, None),
        ev.AlbumDeleted("album_1"),
        ev.AssetDeleted("asset_2", "deleted", None),
        ev.AccountErased(2),
        registered("asset_3", 3),
    )
    assert fold.assets.assets == {
        f"{ACCOUNT} asset_1": AssetSaid(1, "erased", True, 3),
        f"{ACCOUNT} asset_2": AssetSaid(2, "deleted"),
        f"{ACCOUNT} asset_3": AssetSaid(3),
    }
    assert fold.assets.albums == {ACCOUNT: 1}
