"""A network of the deployment's own folder, on the real Triton; and what is refused before anything is served."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.plans import load_catalogue, load_plan
from infra.settings import Settings
from infra.triton.client import TritonEngine, open_engine
from infra.triton.engine import PermanentFailure, Tensors
from infra.triton.manifests import ModelRefused, read_models
from processors.dispatch.pixels import Pixels
from processors.dispatch.tasks import first_failure, perform
from schemas.catalogue import Entry
from tests.gallery.engines import Array, psnr
from tests.gallery.pictures import photograph
from tests.servers import LocalServers

SHIPPED = Path(__file__).parents[1] / "onnx"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path_factory.mktemp("onnx") / "models"))


@pytest.fixture(scope="module")
def settings(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_ONNX_MODELS", str(folder))
        servers = LocalServers(tmp_path_factory.mktemp("servers"))
        try:
            yield servers.need("triton")
        finally:
            servers.stop()


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[TritonEngine]:
    async with open_engine(settings.triton_urls) as opened:
        yield opened


async def run(engine: TritonEngine, entry: Entry, picture: Array) -> Array:
    async def call(name: str, inputs: Tensors) -> Tensors:
        return await engine.infer(name, entry.engine_version, inputs, 60)

    with Pixels.of(picture) as source:
        made = await perform(call, entry, 1, {}, {}, source, None)
    assert isinstance(made, Pixels)
    with made:
        return made.array.copy()


async def test_a_network_that_the_project_trained_beats_bicubic(engine: TritonEngine, settings: Settings) -> None:
    entry = load_catalogue(settings).entry("onnx/small-x2")
    assert entry is not None
    assert "Apache-2.0" in entry.description
    assert load_plan(settings).models["onnx/small-x2"].engine == "onnx_images"
    original = photograph()
    small = Image.fromarray(original).resize((300, 200), Image.Resampling.BICUBIC)
    large = await run(engine, entry, np.asarray(small))
    assert large.shape == original.shape
    plain = np.asarray(small.resize((600, 400), Image.Resampling.BICUBIC))
    assert psnr(large, original) > psnr(plain, original) + 0.5
    flat = await run(engine, entry, np.full((40, 300, 4), 99, np.uint8))
    assert flat.shape == (80, 600, 4)
    assert np.abs(flat.astype(int) - 99).max() <= 2
    assert int(np.ptp(flat)) <= 3, "no seam where tiles meet"


async def test_a_file_changed_under_the_engine_is_not_run(engine: TritonEngine, folder: Path) -> None:
    shutil.copy(folder / "small-x2.toml", folder / "other.toml")
    text = (folder / "other.toml").read_text("utf-8")
    (folder / "other.toml").write_text(text.replace("small-x2.onnx", "other.onnx"), "utf-8")
    (folder / "other.onnx").write_bytes((folder / "small-x2.onnx").read_bytes())
    (entry,) = (entry for entry in read_models(folder) if entry.slug == "onnx/other")
    (folder / "other.onnx").write_bytes(b"something else")
    try:
        with pytest.raises((PermanentFailure, ExceptionGroup)) as caught:
            await run(engine, entry, np.zeros((20, 20, 3), np.uint8))
        assert "another sha256" in str(first_failure(caught.value))
    finally:
        await asyncio.to_thread((folder / "other.onnx").unlink)
        await asyncio.to_thread((folder / "other.toml").unlink)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("sha256 = .*", 'sha256 = "00"'), "small-x2.onnx has another sha256."),
        (("licence = .*", 'licence = " "'), "its manifest names no licence."),
        (("licence = .*", ""), "its manifest names no licence."),
        (("file = .*", 'file = "../small-x2.onnx"'), "../small-x2.onnx is no file beside its manifest."),
        (("scale = 2", "scale = 9"), "its scale has to be 1 to 4 and its halo at most 64."),
        (("scale = 2", 'scale = "two"'), "its manifest is not usable: "),
        (("scale = 2", "sacle = 2"), "its manifest is not usable: "),
    ],
)
def test_what_cannot_be_trusted_is_refused_in_one_sentence(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    manifest = tmp_path / "small-x2.toml"
    manifest.write_text(re.sub(*change, manifest.read_text("utf-8"), count=1), "utf-8")
    with pytest.raises(ModelRefused, match=re.escape(f"The ONNX model small-x2 is refused: {words}")):
        read_models(tmp_path)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="which is no folder"):
        read_models(tmp_path / "nowhere")
    assert read_models(tmp_path) == ()
