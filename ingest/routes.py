"""Every write path in one table: the native ones of jobs, money, pictures and albums, and those of the documents."""

from infra.http.routing import Operation, contract_row
from ingest import asset_routes, job_routes
from ingest.contracts import workspace_images as images
from schemas.wire import workspace_images as images_wire

CONTRACTS: tuple[Operation, ...] = (
    # 003 workspace-images
    contract_row(images_wire.SURFACE, "POST", "/api/ai/images", images.generate, images_wire.GENERATE, audit="change"),
)

ROUTES: tuple[Operation, ...] = (*job_routes.ROUTES, *asset_routes.ROUTES, *CONTRACTS)
