"""The plan file and the catalogue, put together into the plan that is published (design section 2, point 6)."""

from collections.abc import Iterator, Mapping

import msgspec

from infra.settings import Settings
from infra.triton.manifests import read_models
from schemas.catalogue import Catalogue, CatalogueInvalid, model_terms, parse_catalogue
from schemas.plans import AccountTerms, LeaseTerms, Plan
from schemas.topics import HOUSEKEEPING, LANES

JOB_LANES = tuple(lane for lane in LANES if lane != HOUSEKEEPING)


class PlanInvalid(ValueError):
    """The plan file cannot be used; the message is one sentence that names the file and the place."""


class _PlanFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    version: int
    products: Mapping[str, Mapping[str, AccountTerms]]
    leases: LeaseTerms = LeaseTerms()
    lane_released_jobs_max: Mapping[str, int] = {}


def load_catalogue(settings: Settings) -> Catalogue:
    """What this deployment offers, with the models of its own folder. Raises CatalogueInvalid and ModelRefused."""
    try:
        content = settings.catalogue_path.read_bytes()
    except OSError as error:
        raise CatalogueInvalid(f"The catalogue {settings.catalogue_path} cannot be read: {error.strerror}.") from error
    offered = parse_catalogue(content).of_deployment(settings.deployment)
    return offered if settings.onnx_models is None else offered.with_models(read_models(settings.onnx_models))


def load_plan(settings: Settings) -> Plan:
    """The plan of the plan file with the models and prices of the catalogue. Raises PlanInvalid, CatalogueInvalid."""
    try:
        terms = msgspec.toml.decode(settings.plan_path.read_bytes(), type=_PlanFile)
    except OSError as error:
        raise PlanInvalid(f"The plan file {settings.plan_path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PlanInvalid(f"The plan file {settings.plan_path} is not usable: {error}.") from error
    for problem in plan_problems(terms.products, terms.lane_released_jobs_max):
        raise PlanInvalid(f"The plan file {settings.plan_path} is not usable: {problem}.")
    return Plan(
        version=terms.version,
        products=terms.products,
        models={entry.slug: model_terms(entry) for entry in load_catalogue(settings).models},
        leases=terms.leases,
        lane_released_jobs_max=terms.lane_released_jobs_max,
    )


def plan_problems(
    products: Mapping[str, Mapping[str, AccountTerms]], lane_released_jobs_max: Mapping[str, int]
) -> Iterator[str]:
    """What is wrong with the terms beyond their types, each as half a sentence that names the place."""
    for product, plans in products.items():
        if "default" not in plans:
            yield f"{product} has no `default` terms"
        for name, terms in plans.items():
            yield from (f"{product}.{name}: {problem}" for problem in _terms_problems(terms))
    for lane, jobs_max in lane_released_jobs_max.items():
        if lane not in JOB_LANES or jobs_max < 1:
            yield f"lane_released_jobs_max.{lane} is no limit of a lane ({', '.join(JOB_LANES)}) of at least 1"


def _terms_problems(terms: AccountTerms) -> Iterator[str]:
    for lane in (*terms.lane_in_flight_jobs_max, *((terms.lane,) if terms.lane else ())):
        if lane not in JOB_LANES:
            yield f"there is no lane {lane}"
    for field in ("in_flight_jobs_max", "queued_jobs_max", "weight", "idempotency_ttl_ms", "queue_ttl_ms"):
        if getattr(terms, field) < 1:
            yield f"{field} must be at least 1"
    for field in ("opening_credits", "reuse_ttl_ms", "albums_max"):
        if getattr(terms, field) < 0:
            yield f"{field} must not be negative"
    if any(limit < 1 for limit in terms.lane_in_flight_jobs_max.values()):
        yield "lane_in_flight_jobs_max must be at least 1"
    if any(window.limit < 0 for window in terms.windows) or len({w.kind for w in terms.windows}) < len(terms.windows):
        yield "each window must have a kind of its own and no negative limit"
    regeneration = terms.regeneration
    if regeneration and min(regeneration.units, regeneration.every_ms, regeneration.cap) < 1:
        yield "regeneration must have units, every_ms and cap of at least 1"
    if any(not 0 < percent <= 100 for percent in terms.thresholds):
        yield "thresholds are percentages from 1 to 100"
