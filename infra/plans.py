"""The plan file and the catalogue, put together into the plan that is published (design section 2, point 6)."""

from collections.abc import Mapping

import msgspec

from infra.settings import Settings
from schemas.catalogue import Catalogue, CatalogueInvalid, model_terms, parse_catalogue
from schemas.plans import AccountTerms, LeaseTerms, Plan


class PlanInvalid(ValueError):
    """The plan file cannot be used; the message is one sentence that names the file and the place."""


class _PlanFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    version: int
    products: Mapping[str, Mapping[str, AccountTerms]]
    leases: LeaseTerms = LeaseTerms()
    lane_released_jobs_max: Mapping[str, int] = {}


def load_catalogue(settings: Settings) -> Catalogue:
    """What this deployment offers. Raises CatalogueInvalid, also when the file cannot be read."""
    try:
        content = settings.catalogue_path.read_bytes()
    except OSError as error:
        raise CatalogueInvalid(f"The catalogue {settings.catalogue_path} cannot be read: {error.strerror}.") from error
    return parse_catalogue(content).of_deployment(settings.deployment)


def load_plan(settings: Settings) -> Plan:
    """The plan of the plan file with the models and prices of the catalogue. Raises PlanInvalid, CatalogueInvalid."""
    try:
        terms = msgspec.toml.decode(settings.plan_path.read_bytes(), type=_PlanFile)
    except OSError as error:
        raise PlanInvalid(f"The plan file {settings.plan_path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PlanInvalid(f"The plan file {settings.plan_path} is not usable: {error}.") from error
    for product, plans in terms.products.items():
        if "default" not in plans:
            raise PlanInvalid(f"The plan file {settings.plan_path} has no `default` terms for {product}: add them.")
    return Plan(
        version=terms.version,
        products=terms.products,
        models={entry.slug: model_terms(entry) for entry in load_catalogue(settings).models},
        leases=terms.leases,
        lane_released_jobs_max=terms.lane_released_jobs_max,
    )
