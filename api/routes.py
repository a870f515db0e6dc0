"""Every read path in one table: native ones of jobs, money, pictures, albums and accesses, and the documents' own."""

from api.asset_routes import ASSET_ROUTES
from api.audit import AUDIT_ROUTES
from api.contracts import ai_image, studio, studio_pages
from api.contracts import pix_loom as loom
from api.contracts import spike_land as spike
from api.job_routes import JOB_ROUTES
from api.money_routes import MONEY_ROUTES
from infra.http.routing import Operation, contract_row
from schemas.wire import ai_image as ai_image_wire
from schemas.wire import pix_loom as loom_wire
from schemas.wire import spike_land as spike_wire
from schemas.wire import studio as studio_wire
from schemas.wire import studio_pages as pages_wire

CONTRACTS: tuple[Operation, ...] = (
    # 000 ai-image
    contract_row(ai_image_wire.SURFACE, "GET", "/api/ai-image/usage", ai_image.get_usage, ai_image_wire.USAGE, "read"),
    contract_row(ai_image_wire.SURFACE, "GET", "/api/ai-image/jobs", ai_image.list_jobs, ai_image_wire.JOBS, "read"),
    contract_row(ai_image_wire.SURFACE, "GET", "/api/ai-image/jobs/{id}", ai_image.get_job, ai_image_wire.JOB, "read"),
    # 001 pix-loom
    contract_row(loom_wire.SURFACE, "GET", "/api/ai/generation/{id}", loom.get_generation, loom_wire.STATUS, "read"),
    contract_row(loom_wire.SURFACE, "GET", "/api/ai/history", loom.get_history, loom_wire.HISTORY, "read"),
    contract_row(loom_wire.SURFACE, "GET", "/api/ai/stats", loom.get_stats, loom_wire.STATS, "read"),
    # 002 spike-land
    contract_row(spike_wire.SURFACE, "GET", "/api/images/{id}", spike.get_image, spike_wire.GET, "read"),
    # 004 studio
    contract_row(
        studio_wire.STUDIO,
        "GET",
        "/api/generation-status/{request_id}",
        studio.generation_status,
        studio_wire.STATUS,
        "read",
    ),
    contract_row(studio_wire.STUDIO, "GET", "/api/model-info/{model_id}", studio.model_info, studio_wire.MODEL_INFO),
    contract_row(
        studio_wire.STUDIO, "GET", "/asset/{asset_id}/download", studio.download, studio_wire.DOWNLOAD, "read"
    ),
    contract_row(studio_wire.STUDIO, "GET", "/static/generated/{name}", studio.get_image, studio_wire.IMAGE, "read"),
    contract_row(
        studio_wire.STUDIO,
        "GET",
        "/static/generated/thumbnails/{name}",
        studio.get_thumbnail,
        studio_wire.THUMBNAIL,
        "read",
    ),
    contract_row(studio_wire.STUDIO, "GET", "/video/{key}", studio.get_video, studio_wire.VIDEO, "read"),
    # 004 studio, pages
    contract_row(pages_wire.PAGES, "GET", "/dashboard", studio_pages.dashboard, pages_wire.DASHBOARD, "read"),
    contract_row(
        pages_wire.PAGES, "GET", "/generation/{request_id}", studio_pages.generation, pages_wire.GENERATION, "read"
    ),
    contract_row(pages_wire.PAGES, "GET", "/library", studio_pages.library, pages_wire.LIBRARY, "read"),
    contract_row(pages_wire.PAGES, "GET", "/asset/{asset_id}", studio_pages.asset, pages_wire.ASSET, "read"),
    contract_row(
        pages_wire.PAGES, "GET", "/asset/{asset_id}/delete", studio_pages.delete_page, pages_wire.DELETE_PAGE, "read"
    ),
    contract_row(
        pages_wire.PAGES,
        "GET",
        "/static/pages/{name}",
        studio_pages.static_file,
        pages_wire.STATIC,
        access="public",
    ),
)

ROUTES: tuple[Operation, ...] = (*JOB_ROUTES, *MONEY_ROUTES, *ASSET_ROUTES, *AUDIT_ROUTES, *CONTRACTS)
