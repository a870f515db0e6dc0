"""Every write path in one table: the native ones of jobs, money, pictures and albums, and those of the documents."""

from infra.http.routing import Operation
from infra.http.routing import contract_row as row
from ingest import asset_routes, job_routes
from ingest.contracts import ai_image, studio, studio_forms, studio_login
from ingest.contracts import pix_loom as loom
from ingest.contracts import spike_land as spike
from ingest.contracts import workspace_images as images
from schemas.wire import ai_image as ai_wire
from schemas.wire import pix_loom as loom_wire
from schemas.wire import spike_land as spike_wire
from schemas.wire import studio as studio_wire
from schemas.wire import studio_pages as pages_wire
from schemas.wire import workspace_images as images_wire

CONTRACTS: tuple[Operation, ...] = (
    # 000 ai-image
    row(ai_wire.SURFACE, "POST", "/api/ai-image/generate", ai_image.generate, ai_wire.GENERATE, "change"),
    row(ai_wire.SURFACE, "POST", "/api/ai-image/jobs/{id}/cancel", ai_image.cancel_job, ai_wire.CANCEL, "change"),
    # 001 pix-loom
    row(loom_wire.SURFACE, "POST", "/api/ai/generate", loom.generate, loom_wire.GENERATE, "change"),
    row(loom_wire.SURFACE, "DELETE", "/api/ai/generation/{id}", loom.delete_generation, loom_wire.DELETE, "delete"),
    # 002 spike-land
    row(spike_wire.SURFACE, "POST", "/api/images/upload", spike.upload, spike_wire.UPLOAD, "change"),
    row(spike_wire.SURFACE, "POST", "/api/images/batch-upload", spike.upload_many, spike_wire.BATCH, "change"),
    row(spike_wire.SURFACE, "POST", "/api/images/enhance", spike.enhance, spike_wire.ENHANCE, "change"),
    row(spike_wire.SURFACE, "POST", "/api/images/parallel-enhance", spike.enhance_tiers, spike_wire.TIERS, "change"),
    row(spike_wire.SURFACE, "POST", "/api/images/move-to-album", spike.move_images, spike_wire.MOVE, "change"),
    row(spike_wire.SURFACE, "DELETE", "/api/images/{id}", spike.delete_image, spike_wire.DELETE, "delete"),
    # 003 workspace-images
    row(images_wire.SURFACE, "POST", "/api/ai/images", images.generate, images_wire.GENERATE, audit="change"),
    # 004 studio
    row(studio_wire.LOGIN, "POST", "/auth/login", studio_login.login, studio_wire.SIGN_IN, "change", access="public"),
    row(
        studio_wire.STUDIO,
        "GET",
        "/auth/logout",
        studio_login.logout,
        studio_wire.SIGN_OUT,
        "delete",
        access="optional",
    ),
    row(studio_wire.STUDIO, "POST", "/api/generate", studio.generate, studio_wire.GENERATE, "change"),
    row(
        studio_wire.CHANGES, "DELETE", "/api/assets/{asset_id}", studio.delete_asset, studio_wire.DELETE_ASSET, "delete"
    ),
    row(studio_wire.CHANGES, "POST", "/api/delete-image", studio.delete_image, studio_wire.DELETE_IMAGE, "delete"),
    row(studio_wire.CHANGES, "POST", "/api/clear-generation-state", studio.clear_generation_state, studio_wire.CLEAR),
    # 004 studio, forms of its pages
    row(pages_wire.PAGES, "GET", "/login", studio_forms.login_page, pages_wire.LOGIN_PAGE, access="optional"),
    row(pages_wire.PAGES, "POST", "/login", studio_forms.login, pages_wire.LOGIN_FORM, "change", access="public"),
    row(pages_wire.PAGES, "POST", "/dashboard", studio_forms.generate, pages_wire.GENERATE_FORM, "change"),
    row(pages_wire.PAGES, "POST", "/asset/{asset_id}/delete", studio_forms.delete, pages_wire.DELETE_FORM, "delete"),
)

ROUTES: tuple[Operation, ...] = (*job_routes.ROUTES, *asset_routes.ROUTES, *CONTRACTS)
