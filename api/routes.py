"""Every read path in one table: native ones of jobs, money, pictures, albums and accesses, and the documents' own."""

from api.asset_routes import ASSET_ROUTES
from api.audit import AUDIT_ROUTES
from api.job_routes import JOB_ROUTES
from api.money_routes import MONEY_ROUTES
from infra.http.routing import Operation

CONTRACTS: tuple[Operation, ...] = ()

ROUTES: tuple[Operation, ...] = (*JOB_ROUTES, *MONEY_ROUTES, *ASSET_ROUTES, *AUDIT_ROUTES, *CONTRACTS)
