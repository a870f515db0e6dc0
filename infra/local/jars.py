"""The JVM parts of the local stack: fetched once by exact coordinate, checked by SHA-256, shared by all clones.

A list file holds one part a line: ``group:artifact:version[:classifier] sha256``; blank lines and lines that
start with ``#`` are ignored. The resolver is asked for each single file and never walks dependencies: the lists
name all of them. A part enters the cache by an atomic rename after its hash was checked, so that a cache which
a killed run left behind is never half a file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from infra.local.errors import LocalError

LISTS = tuple(Path(__file__).with_name(name) for name in ("kafka.jars", "s3proxy.jars"))
_AT_ONCE = 8
_TIMEOUT_S = 60
_TRIES = 3


@dataclass(frozen=True)
class Jar:
    """One file of a Maven component and the hash that it must have."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str

    @property
    def filename(self) -> str:
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{suffix}.jar"

    @property
    def relative_path(self) -> Path:
        """Below the cache; the hash keeps two parts of one name apart."""
        return Path("jars") / f"{self.sha256[:12]}-{self.filename}"


def cache_dir() -> Path:
    """``$DARKROOM_CACHE``, or ``~/.cache/darkroom``."""
    named = os.environ.get("DARKROOM_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "darkroom"


def read_list(path: Path) -> tuple[Jar, ...]:
    """The parts that a list file names. Raises ValueError on a line that is not one."""
    jars = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        coordinate, sha256 = line.split()
        group, artifact, version, *rest = coordinate.split(":")
        jars.append(Jar(group, artifact, version, rest[0] if rest else "", sha256))
    return tuple(jars)


def classpath(path: Path, cache: Path) -> str:
    """The class path of a list whose parts are in the cache. Raises `LocalError` where one is missing."""
    files = [cache / jar.relative_path for jar in read_list(path)]
    for file in files:
        if not file.is_file():
            raise LocalError(f"The part {file.name} is missing in {cache}: run `make setup` once to fetch it.")
    return os.pathsep.join(str(file) for file in files)


def fetch(jars: Iterable[Jar], cache: Path, progress: Callable[[int, int], None] = lambda _done, _all: None) -> int:
    """Bring every part into the cache; the number that had to be downloaded.

    What is there already is checked and fetched again when its hash is wrong. Raises `LocalError` in one sentence.
    """
    wanted = tuple(dict.fromkeys(jars))
    missing = [jar for jar in wanted if not _good(cache / jar.relative_path, jar.sha256)]
    progress(len(wanted) - len(missing), len(wanted))
    if not missing:
        return 0
    (cache / "jars").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="incoming-") as scratch, ThreadPoolExecutor(_AT_ONCE) as pool:
        tasks = [pool.submit(_fetch_one, jar, cache, Path(scratch)) for jar in missing]
        try:
            for done, task in enumerate(as_completed(tasks), len(wanted) - len(missing) + 1):
                task.result()
                progress(done, len(wanted))
        finally:
            for task in tasks:
                task.cancel()
    return len(missing)


def _fetch_one(jar: Jar, cache: Path, scratch: Path) -> None:
    downloaded = _download(jar, scratch)
    if not _good(downloaded, jar.sha256):
        raise LocalError(
            f"{jar.filename} does not have the recorded SHA-256: something between this machine and the package "
            "registry changes files; set up again from another network."
        )
    os.replace(downloaded, cache / jar.relative_path)


def _download(jar: Jar, scratch: Path) -> Path:
    from jgo.maven import MavenContext
    from requests import RequestException

    for attempt in range(1, _TRIES + 1):
        room = scratch / f"{jar.sha256[:12]}-{attempt}"
        context = MavenContext(repo_cache=room, local_repos=[], timeout=_TIMEOUT_S)
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        try:
            return Path(component.artifact(jar.classifier).resolve())
        except (RequestException, OSError, RuntimeError) as error:
            shutil.rmtree(room, ignore_errors=True)
            if attempt == _TRIES:
                raise LocalError(
                    f"{jar.filename} could not be downloaded ({type(error).__name__}): the first set-up needs the "
                    "network; connect (or set HTTPS_PROXY) and run `make setup` again."
                ) from error
    raise AssertionError("the last attempt returns or raises")


def _good(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def main() -> int:
    """``python -m infra.local.jars``: fetch all parts and make their AOT caches, with plain progress lines."""
    from infra.local.aot_caches import make_missing

    def progress(done: int, total: int) -> None:
        if done < total and done % 40 == 0:
            print(f"Fetching the parts of Kafka and S3: {done} of {total}", flush=True)

    try:
        fetch([jar for path in LISTS for jar in read_list(path)], cache_dir(), progress)
        make_missing()
    except LocalError as error:
        print(f"darkroom: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
