"""Plans, opening, regeneration, grants, assets."""

import pytest
from msgspec.structs import replace

from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import AccountTerms, RegenerationTerms
from schemas.replies import AssetAccepted, BalanceChanged, Done, Refused
from tests.specification.given import ANNA, DAY, HOUR, MINUTE, PICTURE, SECOND, STREAM, T0, World, plan, submit, terms

OPENED = ev.AccountOpened("default", 1, None)
PLENTY = 2**53 - 1


def test_a_plan_comes_into_force_whole() -> None:
    then = World().when(cmd.PublishPlan(plan()), account=STREAM, reply="r")
    assert then.all_events == [(STREAM, ev.PlanPublished(plan()))]
    assert then.answers == [("r", Done())]


def test_a_newer_plan_takes_the_place_of_the_old_one() -> None:
    newer = plan(terms(opening_credits=3), version=2)
    world = World(plan())
    assert world.when(cmd.PublishPlan(newer), account=STREAM).all_events == [(STREAM, ev.PlanPublished(newer))]
    assert world.when(cmd.OpenAccount()).events == [
        ev.AccountOpened("default", 2, None),
        ev.CreditsGranted(3, "opening", 3, None),
    ]


@pytest.mark.parametrize(("in_force", "published"), [(2, 2), (2, 1)])
def test_the_same_or_an_older_plan_changes_nothing(in_force: int, published: int) -> None:
    then = World(plan(version=in_force)).when(cmd.PublishPlan(plan(version=published)), account=STREAM, reply="r")
    assert then.all_events == [(STREAM, ev.CommandIgnored("publish-plan", "plan-already-published"))]
    assert then.answers == [("r", Done())]


def test_a_version_is_not_used_for_two_contents() -> None:
    then = World(plan()).when(cmd.PublishPlan(plan(terms(opening_credits=99))), account=STREAM, reply="r")
    refusal = no.PlanVersionReused(1)
    assert then.all_events == [(STREAM, ev.CommandRefused("publish-plan", refusal))]
    assert then.answers == [("r", Refused(refusal))]


def test_an_account_opens_with_its_terms() -> None:
    then = World(plan()).when(cmd.OpenAccount(), subject="sealed-subject", reply="r")
    assert then.all_events == [
        (ANNA, ev.AccountOpened("default", 1, "sealed-subject")),
        (ANNA, ev.CreditsGranted(10, "opening", 10, None)),
    ]
    assert then.answers == [("r", BalanceChanged(10))]


def test_terms_without_opening_credits_grant_nothing() -> None:
    then = World(plan(terms(opening_credits=0))).when(cmd.OpenAccount())
    assert then.events == [OPENED]


def test_an_open_account_is_not_opened_again() -> None:
    then = World(plan()).given(cmd.OpenAccount()).when(cmd.OpenAccount(), reply="r")
    assert then.events == [ev.CommandIgnored("open-account", "already-open")]
    assert then.answers == [("r", BalanceChanged(10))]


def test_a_plan_name_of_the_token_chooses_the_terms_and_an_unknown_one_falls_back() -> None:
    premium = plan(products={"darkroom": {"default": terms(), "premium": terms(opening_credits=50)}})
    assert World(premium).when(cmd.OpenAccount(), plan_name="premium").events == [
        ev.AccountOpened("premium", 1, None),
        ev.CreditsGranted(50, "opening", 50, None),
    ]
    assert World(premium).when(cmd.OpenAccount(), plan_name="gold").events == [
        ev.AccountOpened("gold", 1, None),
        ev.CreditsGranted(10, "opening", 10, None),
    ]


@pytest.mark.parametrize("command", [cmd.OpenAccount(), cmd.GrantCredits(5, "gift"), submit("job_1")])
def test_without_terms_nothing_opens(command: cmd.AnyCommand) -> None:
    name = str(command.__struct_config__.tag)
    then = World(plan()).when(command, product="unheard-of", reply="r")
    made = "job_1" if isinstance(command, cmd.SubmitJob) else None
    assert then.all_events == [(STREAM, ev.CommandRefused(name, no.PlanMissing("unheard-of"), made))]
    assert then.answers == [("r", Refused(no.PlanMissing("unheard-of")))]
    assert World().when(command).all_events == [(STREAM, ev.CommandRefused(name, no.PlanMissing("darkroom"), made))]


REGENERATING = AccountTerms(opening_credits=10, regeneration=RegenerationTerms(2, 15 * MINUTE, 15))


@pytest.mark.parametrize(
    ("at", "gained", "since"),
    [(15 * MINUTE, 2, 15 * MINUTE), (44 * MINUTE, 4, 30 * MINUTE), (HOUR, 5, HOUR), (DAY, 5, DAY)],
)
def test_time_gives_credits_up_to_the_cap(at: int, gained: int, since: int) -> None:
    then = World(plan(REGENERATING)).given(cmd.OpenAccount()).when(cmd.OpenAccount(), at=at, reply="r")
    assert then.events == [
        ev.CreditsRegenerated(gained, T0 + since, 10 + gained),
        ev.CommandIgnored("open-account", "already-open"),
    ]
    assert then.answers == [("r", BalanceChanged(10 + gained))]


def test_before_the_first_step_nothing_is_gained() -> None:
    then = World(plan(REGENERATING)).given(cmd.OpenAccount()).when(cmd.OpenAccount(), at=15 * MINUTE - 1)
    assert then.events == [ev.CommandIgnored("open-account", "already-open")]


def test_time_spent_above_the_cap_is_not_saved_up() -> None:
    world = World(plan(REGENERATING)).given(cmd.GrantCredits(20, "gift"))
    assert world.when(cmd.GrantCredits(-16, "back"), at=HOUR).events == [
        ev.CreditsRegenerated(0, T0 + HOUR, 30),
        ev.CreditsGranted(-16, "back", 14, None),
    ]
    assert world.when(cmd.OpenAccount(), at=HOUR + 14 * MINUTE).types == ["command-ignored"]
    assert world.when(cmd.OpenAccount(), at=HOUR + 15 * MINUTE).events[0] == ev.CreditsRegenerated(
        1, T0 + HOUR + 15 * MINUTE, 15
    )


def test_a_grant_adds_and_opens_the_account_first() -> None:
    then = World(plan()).when(cmd.GrantCredits(5, "gift"), reply="r")
    assert then.events == [
        OPENED,
        ev.CreditsGranted(10, "opening", 10, None),
        ev.CreditsGranted(5, "gift", 15, None),
    ]
    assert then.answers == [("r", BalanceChanged(15))]


def test_a_negative_grant_takes_down_to_nothing_spendable_and_no_further() -> None:
    world = World(plan()).given(submit("job_1", "dear"))
    assert world.when(cmd.GrantCredits(-4, "back"), reply="r").events == [
        ev.CommandRefused("grant-credits", no.GrantBelowZero(-4, 3))
    ]
    assert world.when(cmd.GrantCredits(-3, "back")).events == [ev.CreditsGranted(-3, "back", 0, None)]


@pytest.mark.parametrize("amount", [PLENTY, PLENTY - 9, 10**30])
def test_a_balance_stays_within_what_readers_hold_exactly(amount: int) -> None:
    world = World(plan()).given(cmd.OpenAccount())
    then = world.when(cmd.GrantCredits(amount, "gift"), reply="r")
    refusal = no.GrantTooLarge(amount, PLENTY)
    assert then.events == [ev.CommandRefused("grant-credits", refusal)]
    assert then.answers == [("r", Refused(refusal))]


def test_the_largest_grant_is_allowed() -> None:
    world = World(plan()).given(cmd.OpenAccount())
    assert world.when(cmd.GrantCredits(PLENTY - 10, "gift")).events == [
        ev.CreditsGranted(PLENTY - 10, "gift", PLENTY, None)
    ]
    assert world.when(cmd.GrantCredits(-PLENTY, "back")).events == [ev.CreditsGranted(-PLENTY, "back", 0, None)]


def test_a_grant_under_a_key_is_booked_once() -> None:
    world = World(plan()).given(cmd.OpenAccount())
    use = ev.IdempotencyUse("k", "f", T0 + 7 * DAY)
    assert world.when(cmd.GrantCredits(5, "gift"), key=("k", "f")).events == [ev.CreditsGranted(5, "gift", 15, use)]
    then = world.when(cmd.GrantCredits(5, "gift"), key=("k", "f"), reply="r")
    assert then.events == [ev.CommandDuplicate("grant-credits", "0.2.0.0", "0.2.0.0", None)]
    assert then.answers == [("r", BalanceChanged(15))]
    other = world.when(cmd.GrantCredits(6, "gift"), key=("k", "other"))
    assert other.events == [ev.CommandRefused("grant-credits", no.IdempotencyMismatch("0.2.0.0"))]
    assert world.header().available == 15


def test_a_refused_grant_leaves_its_key_free() -> None:
    world = World(plan()).given(cmd.GrantCredits(-11, "back"), key=("k", "f"))
    assert world.when(cmd.GrantCredits(-1, "back"), key=("k", "g")).events == [
        ev.CreditsGranted(-1, "back", 9, ev.IdempotencyUse("k", "g", T0 + 7 * DAY))
    ]


def test_assets_are_numbered_in_their_account() -> None:
    world = World(plan())
    first = world.when(cmd.RegisterAsset("asset_a", PICTURE, "sealed-name"), reply="r")
    assert first.events[2:] == [ev.AssetRegistered("asset_a", 1, PICTURE, "sealed-name", None)]
    assert first.answers == [("r", AssetAccepted("asset_a", 1, PICTURE, T0))]
    other = replace(PICTURE, key="acct_anna/asset_b")
    assert world.when(cmd.RegisterAsset("asset_b", other)).events == [
        ev.AssetRegistered("asset_b", 2, other, None, None)
    ]
    assert world.when(cmd.RegisterAsset("asset_c", PICTURE), account="acct_ben").events[2:] == [
        ev.AssetRegistered("asset_c", 1, PICTURE, None, None)
    ]


def test_an_asset_under_a_key_is_registered_once() -> None:
    world = World(plan()).given(cmd.RegisterAsset("asset_a", PICTURE), key=("k", "f"))
    then = world.when(cmd.RegisterAsset("asset_b", PICTURE), key=("k", "f"), reply="r", at=SECOND)
    assert then.events == [ev.CommandDuplicate("register-asset", "0.1.0.0", "asset_a", None, "asset_b")]
    assert then.answers == [("r", AssetAccepted("asset_a", 1, PICTURE, T0))], "with the time of the first"


def test_resume_leaves_a_trace() -> None:
    then = World(plan()).when(cmd.ResumePartition(), account=STREAM, reply="r")
    assert then.all_events == [(STREAM, ev.PartitionResumed())]
    assert then.answers == [("r", Done())]
