"""Publishing the plan: once to every partition, when the plan file or the catalogue's prices changed."""

from __future__ import annotations

import hashlib
import json

from infra import failpoints
from infra.cli.operator import append_to_partitions
from infra.errors import OperatorError
from infra.plans import PlanInvalid, load_plan
from infra.settings import Settings
from schemas.catalogue import CatalogueInvalid
from schemas.codec import encode_json
from schemas.commands import PublishPlan


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
    failpoints.passed("start.plan.before")
    await append_to_partitions(settings, range(settings.partitions), PublishPlan(plan))
    failpoints.passed("start.plan.inside")
    marker.write_text(json.dumps(published), encoding="ascii")
    failpoints.passed("start.plan.after")
    return True
