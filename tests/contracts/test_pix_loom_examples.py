"""The client code of document 001, ported line by line, against the running stack.

`fetch` of a browser has the page's origin as its base. Nothing here knows Darkroom.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.contracts.pix_loom_client import Clients, Identity, Weaver, seen
from tests.end_to_end.pictures_elsewhere import PictureServer
from tests.pictures import encoded, scene
from tests.stack import Stack

Token = Callable[[Stack], str]


class Page:
    """What the document's code calls beside itself: fetch, the console, and the page around it."""

    def __init__(self, fetch: httpx.AsyncClient, user_token: str) -> None:
        self.fetch, self.user_token = fetch, user_token
        self.console: list[tuple[str, Any]] = []
        self.processed_image: str | None = None
        self.credit_balance: int | None = None
        self.error: str | None = None

    async def process_image(self, original_image_url: str, operation_type: str) -> Any:
        """The function processImage of 集成示例."""
        try:
            generate_response = await self.fetch.post(
                "/api/ai/generate",
                headers={"Authorization": f"Bearer {self.user_token}", "Content-Type": "application/json"},
                json={
                    "originalImageUrl": original_image_url,
                    "operationType": operation_type,
                    "metadata": {
                        "source": "web_upload",
                        "timestamp": datetime.datetime.now(datetime.UTC).isoformat(),
                    },
                },
            )

            result = generate_response.json()

            if result.get("success"):
                self.console.append(("处理完成：", result["data"]))

                status_response = await self.fetch.get(
                    f"/api/ai/generation/{result['data']['generationId']}",
                    headers={"Authorization": f"Bearer {self.user_token}"},
                )
                self.console.append(("status", status_response.json()))

                self.processed_image = result["data"]["generatedImageUrl"]
                self.credit_balance = result["data"]["newBalance"]

                return result["data"]
            self.error = result["error"]
        except Exception as error:
            self.console.append(("AI 处理失败：", error))
            raise
        return None


def of_the_did(_: Stack) -> str:
    return Identity().token()


def of_the_deployment(stack: Stack) -> str:
    return stack.token(Identity().did, product="pix-loom")


@pytest.mark.contract("001", "POST /api/ai/generate", "集成示例")
@pytest.mark.parametrize("token", [of_the_did, of_the_deployment])
async def test_process_image_works(token: Token, stack: Stack, http: Clients, elsewhere: PictureServer) -> None:
    page = Page(http(Prefer="wait=80"), token(stack))
    names = {"bw_photo.jpg": "colorization", "damaged.jpg": "restoration", "blurry.jpg": "enhancement"}
    for left, (name, operation) in zip((4, 3, 2), names.items(), strict=True):
        elsewhere.pictures[f"/{name}"] = encoded(scene(96, 64, left))
        told = await page.process_image(f"{elsewhere.url}/{name}", operation)
        assert told["originalImageUrl"] == f"{elsewhere.url}/{name}"
        assert page.credit_balance == left
        status = page.console[-1][1]["data"]
        assert {name: status[name] for name in told if name in status} == {
            name: told[name] for name in told if name in status
        }
        assert status["metadata"]["source"] == "web_upload"
        assert page.processed_image is not None
        assert (await seen(page.processed_image)).size == (96, 64)
    assert page.error is None


@pytest.mark.contract("001", "POST /api/ai/generate", "集成示例")
async def test_process_image_hands_errors_to_the_page(stack: Stack, http: Clients, elsewhere: PictureServer) -> None:
    weaver = Weaver(stack, http, elsewhere)
    for _ in range(5):
        await weaver.started()
    page = Page(http(), weaver.identity.token())
    assert await page.process_image(weaver.picture(), "colorization") is None
    assert page.error == "积分不足"
