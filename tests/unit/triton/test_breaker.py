"""The circuit breaker: when calls pass, when they do not, and that it always comes back."""

from hypothesis import given
from hypothesis import strategies as st

from infra.triton.breaker import (
    FAULTS_TO_OPEN,
    OPEN_S,
    OPEN_S_MAX,
    PROBE_S_MAX,
    Breaker,
    after_fault,
    after_refusal,
    after_repair,
    after_start,
    after_success,
    lets_pass,
    phase,
)


def opened(at_s: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAULTS_TO_OPEN):
        breaker = after_fault(breaker, at_s)
    return breaker


def test_a_few_faults_in_a_row_open_it_and_a_success_between_does_not() -> None:
    breaker = Breaker()
    for _ in range(5):
        breaker = after_success(after_fault(after_fault(breaker, 0), 0))
        assert phase(breaker, 0) == "closed"
    assert phase(opened(), 0) == "open"
    assert not lets_pass(opened(), OPEN_S / 2)


def test_a_refusal_opens_it_at_once() -> None:
    assert not lets_pass(after_refusal(Breaker(), 0), 0)


def test_half_open_lets_one_probe_pass() -> None:
    breaker, later_s = opened(), OPEN_S
    assert phase(breaker, later_s) == "half-open"
    assert lets_pass(breaker, later_s)
    probing = after_start(breaker, later_s)
    assert not lets_pass(probing, later_s)
    assert lets_pass(probing, later_s + PROBE_S_MAX)
    assert phase(after_success(probing), later_s) == "closed"
    again = after_fault(probing, later_s)
    assert phase(again, later_s + OPEN_S) == "open"
    assert phase(again, later_s + 2 * OPEN_S) == "half-open"


def test_late_news_of_earlier_calls_does_not_prolong_it() -> None:
    breaker = opened()
    for _ in range(50):
        breaker = after_fault(after_refusal(breaker, OPEN_S / 2), OPEN_S / 2)
    assert lets_pass(breaker, OPEN_S)


def test_a_repair_asks_for_a_probe_before_it_trusts() -> None:
    repaired = after_repair(opened(), 0.1)
    assert phase(repaired, 0.1) == "half-open"
    assert not lets_pass(after_start(repaired, 0.1), 0.1)


@given(st.lists(st.tuples(st.sampled_from(["fault", "refusal", "start", "success", "repair"]), st.floats(0, 20))))
def test_it_never_stays_shut_for_longer_than_it_says(steps: list[tuple[str, float]]) -> None:
    breaker, now_s = Breaker(), 0.0
    for kind, passing_s in steps:
        now_s += passing_s
        match kind:
            case "fault":
                breaker = after_fault(breaker, now_s)
            case "refusal":
                breaker = after_refusal(breaker, now_s)
            case "start" if lets_pass(breaker, now_s):
                breaker = after_start(breaker, now_s)
            case "success":
                breaker = after_success(breaker)
            case "repair":
                breaker = after_repair(breaker, now_s)
        assert lets_pass(breaker, now_s + OPEN_S_MAX + PROBE_S_MAX)
        assert lets_pass(breaker, now_s) or phase(breaker, now_s) != "closed"
