"""S3 as a child: S3Proxy over a folder of this machine. It ignores If-None-Match and knows no lifecycle rules."""

from __future__ import annotations

import asyncio
from pathlib import Path

from infra.local.component import Component, http_answers
from infra.local.java import ASSETS, java_command
from infra.local.layout import write_atomically
from infra.local.process import Command, inherited

HEAP_MIB = 160
_HOST = "127.0.0.1"


def s3_component(
    folder: Path,
    port: int,
    access_key: str,
    secret_key: str,
    bucket: str,
) -> Component:
    """S3Proxy with its objects in ``folder`` and one bucket, which is a folder of its own."""

    async def command() -> Command:
        settings = await asyncio.to_thread(_prepare, folder, port, access_key, secret_key, bucket)
        properties = {"logback.configurationFile": str(ASSETS / "s3proxy-logback.xml")}
        main = ("org.gaul.s3proxy.Main", "--properties", str(settings))
        return Command(java_command("s3proxy.jars", HEAP_MIB, properties, main), inherited())

    return Component(
        name="s3",
        endpoint=f"http://{_HOST}:{port}",
        command=command,
        healthy=lambda: http_answers(_HOST, port),
        memory_cap_bytes=640 << 20,
        stop_limit_s=5.0,
    )


def _prepare(folder: Path, port: int, access_key: str, secret_key: str, bucket: str) -> Path:
    objects = folder / "objects"
    (objects / bucket).mkdir(parents=True, exist_ok=True)
    rows = {
        "s3proxy.endpoint": f"http://{_HOST}:{port}",
        "s3proxy.authorization": "aws-v2-or-v4",
        "s3proxy.identity": access_key,
        "s3proxy.credential": secret_key,
        "s3proxy.jetty.max-threads": 48,
        "s3proxy.v4-max-non-chunked-request-size": 64 << 20,
        "jclouds.provider": "filesystem-nio2",
        "jclouds.identity": access_key,
        "jclouds.credential": secret_key,
        "jclouds.filesystem.basedir": objects,
    }
    settings = folder / "s3proxy.properties"
    write_atomically(settings, "".join(f"{name}={value}\n" for name, value in rows.items()), 0o600)
    return settings
