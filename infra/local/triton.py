"""Triton as a child: the server from the wheel of its own environment, with the Python backend of Python 3.11.

The Python backend talks to its models through regions in /dev/shm and leaves them behind when it is killed; all
regions of one stack carry a prefix of its own, and they are swept before each start and after each stop.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sysconfig
from dataclasses import replace
from pathlib import Path

from infra.local.component import Component, http_ok
from infra.local.errors import LocalError
from infra.local.process import Command, inherited
from infra.priority import BEHIND_ANSWERS

REPOSITORY = Path(__file__).resolve().parents[1] / "triton" / "models"
_ONNX = REPOSITORY.parent / "onnx_models" / "onnx_images"
_HOST = "127.0.0.1"
_SHARED_MEMORY = Path("/dev/shm")  # nosec B108 # where Triton keeps its regions
_MODULES = ("numpy", "numpy.libs", "cv2", "opencv_python_headless.libs", "onnxruntime")
_LIBRARY = "libpython3.11.so.1.0"


def triton_component(
    folder: Path,
    grpc_port: int,
    http_port: int,
    metrics_port: int,
    models: Path,
    own_models: Path | None = None,
    *,
    quarantine: bool = False,
) -> Component:
    """Triton over the model repository ``models``; ``folder`` holds its links to the backend.

    ``own_models`` is the deployment's folder of ONNX models; without it their engine is not loaded.

    Models may be loaded and unloaded by its clients: a model whose process died is only served again after that. The
    quarantine server loads none by itself; dispatchers load the model of a job that has to run alone. After a crash it
    is not ready for half a minute, until the dead model is gone, but it serves: its health is that it answers.
    """
    prefix = region_prefix(folder)

    async def command() -> Command:
        sweep(prefix)
        repositories = [models] if own_models is None else [models, _own_repository(folder, own_models)]
        made = await asyncio.to_thread(_command, folder, grpc_port, http_port, metrics_port, repositories, prefix)
        return made if quarantine else replace(made, argv=(*made.argv, "--load-model=*"))

    return Component(
        name="triton-quarantine" if quarantine else "triton",
        endpoint=f"{_HOST}:{grpc_port}",
        command=command,
        healthy=lambda: http_ok(_HOST, http_port, "/v2/health/live" if quarantine else "/v2/health/ready"),
        memory_cap_bytes=1536 << 20,
        on_stop=lambda: sweep(prefix),
        stop_limit_s=8.0,
    )


def region_prefix(folder: Path) -> str:
    """The prefix of this stack's regions in /dev/shm."""
    return f"darkroom-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:10]}-"


def sweep(prefix: str) -> None:
    """Remove the regions that carry ``prefix``. Only while the server that made them is down."""
    for region in _SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def _command(folder: Path, grpc: int, http: int, metrics: int, repositories: list[Path], prefix: str) -> Command:
    packages = _packages()
    backends = _link_backend(folder, packages)
    argv = (
        str(packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        *(f"--model-repository={repository}" for repository in repositories),
        "--model-control-mode=explicit",
        f"--backend-directory={backends}",
        f"--grpc-address={_HOST}",
        f"--grpc-port={grpc}",
        f"--http-address={_HOST}",
        f"--http-port={http}",
        f"--metrics-address={_HOST}",
        f"--metrics-port={metrics}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        "--backend-config=python,shm-default-byte-size=1048576",
        "--backend-config=python,shm-growth-byte-size=1048576",
        "--pinned-memory-pool-byte-size=0",
        "--http-thread-count=2",
        "--exit-on-error=true",
        "--exit-timeout-secs=4",
        "--log-info=false",
    )
    libraries = [str(packages / "nvidia_pytriton.libs"), str(_python_library().parent)]
    environment = {
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }
    return Command(argv, inherited(environment, drop=("PYTHONHOME", "VIRTUAL_ENV")), nice=BEHIND_ANSWERS)


def _own_repository(folder: Path, own_models: Path) -> Path:
    """A repository with the engine of ONNX models, told which folder is the deployment's."""
    target = folder / "own" / _ONNX.name
    target.mkdir(parents=True, exist_ok=True)
    told = f'parameters {{ key: "folder" value: {{ string_value: {json.dumps(str(own_models.resolve()))} }} }}\n'
    (target / "config.pbtxt").write_text((_ONNX / "config.pbtxt").read_text("utf-8") + told, "utf-8")
    link = target / "1"
    link.unlink(missing_ok=True)
    link.symlink_to(_ONNX / "1")
    return target.parent


def _packages() -> Path:
    """The site-packages of Triton's environment: ``$DARKROOM_TRITON_ENV``, or ``.venv-triton`` beside the program."""
    named = os.environ.get("DARKROOM_TRITON_ENV")
    environment = Path(named) if named else Path(__file__).resolve().parents[2] / ".venv-triton"
    packages = environment / "lib" / "python3.11" / "site-packages"
    if not (packages / "pytriton" / "tritonserver" / "bin" / "tritonserver").is_file():
        raise LocalError(f"Triton is missing in {environment}: run `make setup` once to get it.")
    return packages


def _link_backend(folder: Path, packages: Path) -> Path:
    """A backend directory made of links into the wheel, which keeps the stub of each Python version apart.

    The stub runs Python isolated from the environment: beside the model's own folder it looks only here for
    modules, so what models may import is linked here too.
    """
    server = packages / "pytriton" / "tritonserver"
    backend = folder / "backends" / "python"
    backend.mkdir(parents=True, exist_ok=True)
    stub = server / "python_backend_stubs" / "3.11" / "triton_python_backend_stub"
    modules = (packages / name for name in _MODULES)
    for source in (*(server / "backends" / "python").iterdir(), stub, *modules):
        link = backend / source.name
        if source.name != "__pycache__":
            link.unlink(missing_ok=True)
            link.symlink_to(source)
    return backend.parent


def _python_library() -> Path:
    named = sysconfig.get_config_var("LIBDIR")
    for folder in (Path(named) if named else Path(), Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64")):
        if (folder / _LIBRARY).exists():
            return folder / _LIBRARY
    raise LocalError(
        f"Triton's models need Python's shared library {_LIBRARY}: install it (Debian: libpython3.11) or use a "
        "Python 3.11 that was built with --enable-shared."
    )
