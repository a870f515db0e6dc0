"""The servers of the tests: those that nobody needed yet keep their ports."""

from __future__ import annotations

from pathlib import Path

from infra.local.ports import is_free
from tests.servers import LocalServers


def test_a_server_that_does_not_run_yet_has_its_ports_to_itself(tmp_path: Path) -> None:
    servers = LocalServers(tmp_path)
    try:
        ports = servers.ports
        assert {"kafka", "kafka-controller", "postgres", "s3", "triton-grpc"} <= set(ports)
        assert not any(map(is_free, ports.values()))
    finally:
        servers.stop()
    assert all(map(is_free, ports.values()))
