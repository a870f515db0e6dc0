"""What the S3 client raises, as what the port of the object store promises."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from infra.s3.store import ObjectNotFound, StoreUnavailable


@contextmanager
def translated(key: str) -> Generator[None]:
    """Turn the client's exceptions into the port's."""
    try:
        yield
    except ClientError as error:
        if status_of(error) == 404:
            raise ObjectNotFound(key) from error
        if status_of(error) >= 500 or status_of(error) == 429:
            raise StoreUnavailable(f"the object store failed: {error}") from error
        raise
    except (BotoCoreError, aiohttp.ClientError, OSError) as error:
        raise StoreUnavailable(f"the object store did not answer: {error}") from error


def status_of(error: ClientError) -> int:
    """The HTTP status of an answer that was an error."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
