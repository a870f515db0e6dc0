"""Publishing the plan: once to every partition, when the plan file or the catalogue's prices changed."""

from __future__ import annotations

import hashlib
import json

from infra.clock import SystemClock
from infra.errors import OperatorError
from infra.ids import SystemIds
from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from infra.plans import PlanInvalid, load_plan
from infra.settings import Settings
from schemas.catalogue import CatalogueInvalid
from schemas.codec import encode_json
from schemas.commands import Envelope, PublishPlan, encode_command
from schemas.identifiers import partition_stream
from schemas.plans import Plan
from schemas.topics import COMMANDS


async def publish_plan(settings: Settings) -> bool:
    """Append `publish-plan` to every partition unless this content was published before; True when it was appended.

    A marker in the data directory remembers the last one. It only saves work: a decider ignores a plan that it has,
    and refuses other content under a version in force. Raises OperatorError where the files cannot be used.
    """
    try:
        plan = load_plan(settings)
    except (PlanInvalid, CatalogueInvalid) as error:
        raise OperatorError(str(error)) from error
    marker = settings.data_dir / "plan.published"
    published = {"version": plan.version, "sha256": hashlib.sha256(encode_json(plan)).hexdigest()}
    last = json.loads(marker.read_text(encoding="ascii")) if marker.exists() else {"version": 0}
    if last == published:
        return False
    if last["version"] >= plan.version:
        raise OperatorError(
            f"The plan or the catalogue's prices changed, but their version is still {plan.version}: "
            f"set `version` in {settings.plan_path} to {last['version'] + 1}."
        )
    await _append(settings, plan)
    marker.write_text(json.dumps(published), encoding="ascii")
    return True


async def _append(settings: Settings, plan: Plan) -> None:
    clock, ids = SystemClock(), SystemIds()
    client = await start_client(settings.kafka, client_id="darkroom-plan")
    appender = CommandAppender(client, COMMANDS)
    try:
        for partition in range(settings.partitions):
            envelope = Envelope(
                ids.mint("cmd"), partition_stream(partition), "", PublishPlan(plan), clock.now_ms(), actor="operator"
            )
            await appender.append(partition, encode_command(envelope))
    finally:
        await appender.close()
        await client.close()
