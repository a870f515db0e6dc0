"""What the query side needs from outside, in one record that the composition root fills."""

from __future__ import annotations

from dataclasses import dataclass

from api.archive_queries import ArchiveQueries
from api.audit_queries import AuditQueries
from api.consistency import Consistency
from api.queries import Queries
from infra.clock import Clock
from infra.http.media_links import MediaLinks
from infra.http.signing import Signer
from infra.s3.store import ObjectStore
from infra.sealing.keys import KeyRing
from infra.views import Views
from schemas.catalogue import Catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPorts:
    """Ports and settings of the reading side; handlers get it by `port_of(request, ApiPorts)`."""

    queries: Queries
    archive: ArchiveQueries
    audit: AuditQueries
    consistency: Consistency
    keys: KeyRing
    objects: ObjectStore
    catalogue: Catalogue
    clock: Clock
    signer: Signer
    links: MediaLinks
    identifier_key: bytes
    views: Views
    partitions: int
    deployment: str
    base_url: str
