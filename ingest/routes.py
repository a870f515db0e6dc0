"""Every write path in one table: the native ones of jobs, money, pictures and albums, and those of the documents."""

from infra.http.routing import Operation
from ingest import asset_routes, job_routes

CONTRACTS: tuple[Operation, ...] = ()

ROUTES: tuple[Operation, ...] = (*job_routes.ROUTES, *asset_routes.ROUTES, *CONTRACTS)
