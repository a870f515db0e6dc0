"""What the shipped catalogue and plan say about the five documented products: slugs, prices, sizes, terms."""

from pathlib import Path

import pytest

from infra.plans import load_plan
from infra.settings import Settings
from schemas.catalogue import Catalogue, Entry, fallback, parse_catalogue, price, result_size, validate_params
from schemas.plans import AccountTerms, Plan, RegenerationTerms, WindowTerms

FOLDER = Path(__file__).parents[3] / "infra"
DAY, MINUTE = 86_400_000, 60_000
SLUGS = {
    "ai-image": {"real-esrgan", "gfpgan", "codeformer", "sd15-img2img", "sdxl-img2img"},
    "pix-loom": {"colorization", "restoration", "enhancement", "style_transfer"},
    "spike-land": {"enhance"},
    "workspace-images": {"dall-e-2", "dall-e-2-hd", "dall-e-3", "dall-e-3-hd", "imagen-3", "imagen-3-hd"},
    "studio": {"flux", "recraft", "stable_diffusion", "stable_diffusion-img2img", "stable_video", "flux_pro"},
}
TITLES = {
    "flux": "FLUX.1 [dev]",
    "recraft": "Recraft V3",
    "stable_diffusion": "Stable Diffusion V3",
    "stable_video": "Stable Video Diffusion",
    "flux_pro": "FLUX.1 [pro] Fill",
}
SQUARE, LANDSCAPE, PORTRAIT = "1024x1024", "1792x1024", "1024x1792"
WIDE = {SQUARE: (10, 20), LANDSCAPE: (15, 30), PORTRAIT: (15, 30)}
"""Prices of the larger models by size: standard, hd."""


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return parse_catalogue((FOLDER / "catalogue.toml").read_bytes())


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(Settings(deployment="local"))


def model(shipped: Catalogue, slug: str) -> Entry:
    found = shipped.entry(slug)
    assert found is not None, slug
    return found


def fields(entry: Entry, params: dict[str, object]) -> list[str]:
    """The fields that are refused; an empty list where the parameters are valid."""
    checked = validate_params(entry, params)
    return [problem.field for problem in checked] if isinstance(checked, list) else []


@pytest.mark.parametrize("product", SLUGS)
def test_a_product_has_its_slugs_and_nobody_else_has_them(shipped: Catalogue, product: str) -> None:
    own = {entry.slug for entry in shipped.models if entry.products}
    assert {slug for slug in own if model(shipped, slug).offered_to(product)} == SLUGS[product]
    assert own == set().union(*SLUGS.values())


def test_none_of_them_claims_to_be_the_model_of_its_name(shipped: Catalogue) -> None:
    for entry in shipped.models:
        if entry.products and entry.slug != "enhance":
            assert entry.description.startswith("Mapped to "), entry.slug
        if entry.products:
            assert any(words in entry.description for words in ("mounted here", "not called")), entry.slug
        if entry.products and entry.operation in ("image", "video", "restyle"):
            assert entry.label.endswith("not by a trained model (Darkroom)") or "not made by" in entry.label


def test_all_take_sixty_four_megapixels_and_filling_takes_what_it_can_do_in_time(shipped: Catalogue) -> None:
    limits = {entry.slug: entry.limits for entry in shipped.models if entry.products}
    assert limits.pop("flux_pro").input_pixels_max == 24_000_000
    assert {(limit.input_pixels_max, limit.result_pixels_max) for limit in limits.values()} == {
        (64_000_000, 256_000_000)
    }


def test_results_of_ai_image_are_webp_and_cost_nothing_but_their_place_in_a_window(shipped: Catalogue) -> None:
    entries = [model(shipped, slug) for slug in SLUGS["ai-image"]]
    assert {(entry.format, price(entry, {})) for entry in entries} == {("webp", 0)}
    assert {entry.format for entry in shipped.models if entry.products and entry not in entries} == {None}


def test_upscaling_and_faces_have_second_engines(shipped: Catalogue) -> None:
    second = {
        entry.slug: other.engine
        for entry in shipped.models
        if entry.products and (other := fallback(entry)) is not None
    }
    assert second == {
        **dict.fromkeys(("real-esrgan", "enhance"), "classical_lanczos"),
        **dict.fromkeys(("gfpgan", "codeformer", "enhancement"), "classical_plain"),
    }


@pytest.mark.parametrize("slug", ["sd15-img2img", "sdxl-img2img", "stable_diffusion-img2img"])
def test_a_picture_restyled_takes_a_prompt_and_four_numbers(shipped: Catalogue, slug: str) -> None:
    entry = model(shipped, slug)
    checked = validate_params(entry, {"prompt": "ocean"})
    assert not isinstance(checked, list)
    assert checked.params == {"strength": 80, "guidance": 75, "steps": 30}
    assert checked.texts == {"prompt": "ocean", "negative_prompt": ""}
    for name, low, high in (("strength", 0, 100), ("guidance", 10, 200), ("steps", 10, 50)):
        for value, wrong in ((low, False), (high, False), (low - 1, True), (high + 1, True)):
            assert fields(entry, {"prompt": "ocean", name: value}) == ([f"params.{name}"] if wrong else [])
    needs_prompt = slug.startswith("stable_diffusion")  # document 000 makes it optional
    assert fields(entry, {}) == (["params.prompt"] if needs_prompt else [])
    assert fields(entry, {"prompt": "a" * 4001}) == ["params.prompt"]


@pytest.mark.parametrize(("tier", "cost", "edge"), [("TIER_1K", 2, 1024), ("TIER_2K", 5, 2048), ("TIER_4K", 10, 4096)])
def test_a_tier_has_its_price_and_its_edge(shipped: Catalogue, tier: str, cost: int, edge: int) -> None:
    entry = model(shipped, "enhance")
    assert price(entry, {"tier": tier}) == cost
    assert result_size(entry, {"tier": tier}, 600, 400) == (edge, round(400 * edge / 600))
    assert result_size(entry, {"tier": tier}, 3000, 5000) == (3000, 5000)
    assert fields(entry, {}) == fields(entry, {"tier": "TIER_8K"}) == ["params.tier"]


@pytest.mark.parametrize(
    ("name", "standard", "hd"),
    [
        ("dall-e-2", {"256x256": 3, "512x512": 5, SQUARE: 10}, {SQUARE: 20}),
        ("dall-e-3", {size: both[0] for size, both in WIDE.items()}, {size: both[1] for size, both in WIDE.items()}),
        ("imagen-3", {size: both[0] for size, both in WIDE.items()}, {size: both[1] for size, both in WIDE.items()}),
    ],
)
def test_pictures_cost_by_size_and_quality(
    shipped: Catalogue, name: str, standard: dict[str, int], hd: dict[str, int]
) -> None:
    for slug, quality, prices in ((name, "standard", standard), (f"{name}-hd", "hd", hd)):
        entry = model(shipped, slug)
        assert {size: price(entry, {"size": size}) for size in entry.parameters["size"].choices} == prices
        for size in prices:
            assert result_size(entry, {"size": size}, 0, 0) == tuple(map(int, size.split("x")))
        checked = validate_params(entry, {"prompt": "a lake", "seed": 7})
        assert not isinstance(checked, list)
        shown = {"size": SQUARE, "style": "natural", "provider_style": "natural", "quality": quality, "seed": 7}
        assert checked.params == shown
        assert fields(entry, {"prompt": "x", "quality": "best"}) == ["params.quality"]
    assert price(model(shipped, "dall-e-2-hd"), {"size": "256x256"}) == 0
    assert fields(model(shipped, "dall-e-2-hd"), {"prompt": "x", "size": "256x256"}) == ["params.size"]


def test_a_provider_knows_its_own_styles(shipped: Catalogue) -> None:
    for slug in SLUGS["workspace-images"]:
        entry = model(shipped, slug)
        assert entry.parameters["style"].choices == ("natural", "vivid", "artistic", "photographic")
        known = entry.parameters["provider_style"].choices
        assert known == (entry.parameters["style"].choices if "imagen" in slug else ("natural", "vivid"))


def test_models_of_studio_say_what_they_are(shipped: Catalogue) -> None:
    assert {slug: model(shipped, slug).title for slug in TITLES} == TITLES
    for entry in shipped.models:
        assert (entry.info is not None) == (entry.slug in TITLES)
        if entry.info is not None:
            assert "not mounted here" in entry.info.what_is
            assert entry.info.use_cases.startswith("Perfect for")
            assert entry.info.tips.startswith("For best results")
    assert model(shipped, "stable_video").lane == "video"
    assert model(shipped, "stable_video").run_deadline_ms == 5 * MINUTE
    assert {entry.run_deadline_ms for entry in shipped.models if entry.task != "video"} == {2 * MINUTE}
    wants = {slug: (model(shipped, slug).input, model(shipped, slug).mask) for slug in SLUGS["studio"]}
    assert wants == {
        **dict.fromkeys(("flux", "recraft", "stable_diffusion"), ("none", "none")),
        **dict.fromkeys(("stable_diffusion-img2img", "stable_video"), ("required", "none")),
        "flux_pro": ("required", "required"),
    }
    assert [slug for slug in sorted(SLUGS["studio"]) if not fields(model(shipped, slug), {})] == ["stable_video"]


def test_terms_of_ai_image(plan: Plan) -> None:
    user, guest, premium = (terms_of(plan, "ai-image", name) for name in ("default", "guest", "premium"))
    assert user.windows == (WindowTerms("day", 20), WindowTerms("month", 100))
    assert guest.windows == (WindowTerms("day", 3),)
    assert premium.windows == (WindowTerms("month", 1000),)
    assert (user.models_denied, user.param_limits) == ((), {"scale": 4, "face_enhance": 1})
    assert (premium.models_denied, premium.param_limits) == (user.models_denied, user.param_limits)
    assert (guest.models_denied, guest.param_limits) == (("gfpgan", "codeformer"), {"scale": 4, "face_enhance": 0})
    assert (user.lane, guest.lane, premium.lane) == (None, None, "priority")
    for terms in (user, guest, premium):
        assert not terms.uses_balance
        assert (terms.originals, terms.results_ttl_ms, terms.reuse_ttl_ms) == ("purge", 30 * DAY, 30 * DAY)


def test_terms_of_the_other_products(plan: Plan) -> None:
    loom, land = terms_of(plan, "pix-loom"), terms_of(plan, "spike-land")
    assert (loom.opening_credits, loom.uses_balance) == (5, True)
    assert (FOLDER / "local" / "assets" / str(loom.sample)).is_file()
    assert (land.opening_credits, land.queue_ttl_ms) == (100, 2 * MINUTE)
    assert land.regeneration == RegenerationTerms(1, 15 * MINUTE, 100)
    assert (terms_of(plan, "workspace-images").opening_credits, terms_of(plan, "darkroom").opening_credits) == (0, 0)
    studio = terms_of(plan, "studio")
    assert (studio.uses_balance, studio.windows) == (False, (WindowTerms("day", 50),))
    assert (studio.uploads_ttl_ms, studio.results_ttl_ms) == (DAY, None)
    waits = {product: terms_of(plan, product).wait_default_ms for product in SLUGS}
    assert waits == {**dict.fromkeys(SLUGS, 30_000), "spike-land": 0}
    assert {terms_of(plan, product).queue_ttl_ms for product in SLUGS if product != "spike-land"} == {DAY}


def terms_of(plan: Plan, product: str, name: str = "default") -> AccountTerms:
    return plan.products[product][name]
