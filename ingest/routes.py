"""Every write path in one table: those of jobs and money, and those of pictures and albums."""

from infra.http.routing import Operation
from ingest import asset_routes, job_routes

ROUTES: tuple[Operation, ...] = (*job_routes.ROUTES, *asset_routes.ROUTES)
