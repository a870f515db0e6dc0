"""``darkroom serve``: one role in this process, as the supervisor or a cluster's scheduler starts it."""

from __future__ import annotations

import importlib
from typing import Literal

import click

ROLES: dict[str, tuple[str, str]] = {
    "processor": ("processors.app", "run_processor"),
    "dispatcher": ("processors.dispatch.app", "run_dispatcher"),
    "projector": ("infra.cli.projector", "run_projector"),
    "auditor": ("infra.cli.auditor", "run_auditor"),
}
GATEWAYS: dict[str, Literal["all", "ingest", "api"]] = {"gateway": "all", "ingest": "ingest", "api": "api"}


@click.command()
@click.argument("role", type=click.Choice([*GATEWAYS, *ROLES]), metavar="ROLE")
@click.option("--index", default=0, show_default=True, type=click.IntRange(0), help="Number of this instance.")
def serve(role: str, index: int) -> None:
    """Serve one role until SIGTERM; all settings come from DARKROOM_* variables.

    ROLE is gateway (ingest and api in one), ingest, api, processor, dispatcher, projector or auditor. Each worker
    answers /healthz and /metrics on DARKROOM_METRICS_PORT.
    """
    from infra import failpoints
    from infra.logs import configure_logging
    from infra.settings import load_settings

    settings = load_settings()
    configure_logging(f"{role}-{index}", settings.log_level)
    failpoints.arm(settings.deployment, settings.data_dir)
    if role in GATEWAYS:
        from infra.cli.gateway import run_gateway

        run_gateway(settings, GATEWAYS[role], settings.gateway.host, settings.gateway.port)
        return
    module, name = ROLES[role]
    getattr(importlib.import_module(module), name)(settings, index)
