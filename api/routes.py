"""Every read path in one table: those of jobs, of money, of pictures and albums, and of the trail of accesses."""

from api.asset_routes import ASSET_ROUTES
from api.audit import AUDIT_ROUTES
from api.job_routes import JOB_ROUTES
from api.money_routes import MONEY_ROUTES
from infra.http.routing import Operation

ROUTES: tuple[Operation, ...] = (*JOB_ROUTES, *MONEY_ROUTES, *ASSET_ROUTES, *AUDIT_ROUTES)
