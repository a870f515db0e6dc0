"""Every read path in one table: native ones of jobs, money, pictures, albums and accesses, and the documents' own."""

from api.asset_routes import ASSET_ROUTES
from api.audit import AUDIT_ROUTES
from api.contracts import ai_image, studio, studio_pages
from api.contracts import pix_loom as loom
from api.contracts import spike_land as spike
from api.job_routes import JOB_ROUTES
from api.money_routes import MONEY_ROUTES
from infra.http.routing import Operation
from infra.http.routing import contract_row as row
from schemas.wire import ai_image as ai_wire
from schemas.wire import pix_loom as loom_wire
from schemas.wire import spike_land as spike_wire
from schemas.wire import studio as studio_wire
from schemas.wire import studio_pages as pages_wire

CONTRACTS: tuple[Operation, ...] = (
    # 000 ai-image
    row(ai_wire.SURFACE, "GET", "/api/ai-image/usage", ai_image.get_usage, ai_wire.USAGE, "read"),
    row(ai_wire.SURFACE, "GET", "/api/ai-image/jobs", ai_image.list_jobs, ai_wire.JOBS, "read"),
    row(ai_wire.SURFACE, "GET", "/api/ai-image/jobs/{id}", ai_image.get_job, ai_wire.JOB, "read"),
    # 001 pix-loom
    row(loom_wire.SURFACE, "GET", "/api/ai/generation/{id}", loom.get_generation, loom_wire.STATUS, "read"),
    row(loom_wire.SURFACE, "GET", "/api/ai/history", loom.get_history, loom_wire.HISTORY, "read"),
    row(loom_wire.SURFACE, "GET", "/api/ai/stats", loom.get_stats, loom_wire.STATS, "read"),
    # 002 spike-land
    row(spike_wire.SURFACE, "GET", "/api/images/{id}", spike.get_image, spike_wire.GET, "read"),
    # 004 studio
    row(
        studio_wire.STUDIO,
        "GET",
        "/api/generation-status/{request_id}",
        studio.generation_status,
        studio_wire.STATUS,
        "read",
    ),
    row(studio_wire.STUDIO, "GET", "/api/model-info/{model_id}", studio.model_info, studio_wire.MODEL_INFO),
    row(studio_wire.STUDIO, "GET", "/asset/{asset_id}/download", studio.download, studio_wire.DOWNLOAD, "read"),
    row(studio_wire.STUDIO, "GET", "/static/generated/{name}", studio.get_image, studio_wire.IMAGE, "read"),
    row(
        studio_wire.STUDIO,
        "GET",
        "/static/generated/thumbnails/{name}",
        studio.get_thumbnail,
        studio_wire.THUMBNAIL,
        "read",
    ),
    row(studio_wire.STUDIO, "GET", "/video/{key}", studio.get_video, studio_wire.VIDEO, "read"),
    # 004 studio, pages
    row(pages_wire.PAGES, "GET", "/dashboard", studio_pages.dashboard, pages_wire.DASHBOARD, "read"),
    row(pages_wire.PAGES, "GET", "/generation/{request_id}", studio_pages.generation, pages_wire.GENERATION, "read"),
    row(pages_wire.PAGES, "GET", "/library", studio_pages.library, pages_wire.LIBRARY, "read"),
    row(pages_wire.PAGES, "GET", "/asset/{asset_id}", studio_pages.asset, pages_wire.ASSET, "read"),
    row(pages_wire.PAGES, "GET", "/asset/{asset_id}/delete", studio_pages.delete_page, pages_wire.DELETE_PAGE, "read"),
    row(pages_wire.PAGES, "GET", "/static/pages/{name}", studio_pages.static_file, pages_wire.STATIC, access="public"),
)

ROUTES: tuple[Operation, ...] = (*JOB_ROUTES, *MONEY_ROUTES, *ASSET_ROUTES, *AUDIT_ROUTES, *CONTRACTS)
