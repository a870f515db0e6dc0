"""Account ids and the partition that owns them (design section 2, point 2)."""

import base64
import hashlib
import hmac
from functools import lru_cache

PRODUCTS = ("ai-image", "pix-loom", "spike-land", "workspace-images", "studio", "darkroom")

_MASK = 0xFFFFFFFF
_ACCOUNT_ID_CHARS = 26  # 26 base32 characters carry exactly the first 130 bits
PARTITION_STREAM_PREFIX = "partition-"


def account_id(identifier_key: bytes, product: str, subject: str) -> str:
    """`acct_` + base32 of the first 130 bits of HMAC-SHA256(identifier key, `<product>:<subject>`), in lower case."""
    digest = hmac.new(identifier_key, f"{product}:{subject}".encode(), hashlib.sha256).digest()
    return "acct_" + base64.b32encode(digest).decode().lower()[:_ACCOUNT_ID_CHARS]


@lru_cache(maxsize=1_024)
def partition_stream(partition: int) -> str:
    """The stream id under which a partition's own events (plans, ticks, unreadable items) stand."""
    return f"{PARTITION_STREAM_PREFIX}{partition}"


def is_partition_stream(stream: str) -> bool:
    """True for a partition's own stream, False for an account."""
    return stream.startswith(PARTITION_STREAM_PREFIX)


def murmur2(data: bytes) -> int:
    """The unsigned 32-bit murmur2 of Kafka's default partitioner (org.apache.kafka.common.utils.Utils.murmur2)."""
    length = len(data)
    m = 0x5BD1E995
    h = (0x9747B28C ^ length) & _MASK
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & _MASK
        k ^= k >> 24
        h = (h * m & _MASK) ^ (k * m & _MASK)
    tail = length & 3
    if tail:
        h ^= int.from_bytes(data[whole:], "little")
        h = h * m & _MASK
    h ^= h >> 13
    h = h * m & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=65_536)
def partition_of(account: str, partitions: int) -> int:
    """The partition of `commands`, `events` and `accounts` that owns the account."""
    return (murmur2(account.encode()) & 0x7FFFFFFF) % partitions
