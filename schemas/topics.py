"""The topics, who writes them and how long they are kept (design section 3)."""

from collections.abc import Mapping

import msgspec

COMMANDS = "commands"
EVENTS = "events"
ACCOUNTS = "accounts"
REPLIES = "replies"
ACCESSES = "accesses"
SESSIONS = "sessions"
KEYS = "keys"
DEAD_LETTERS = "dead-letters"
HOUSEKEEPING = "housekeeping"
LANES = ("priority", "standard", "batch", "video", HOUSEKEEPING)

_DAY_MS = 86_400_000
_FOR_EVER = {"retention.ms": "-1", "retention.bytes": "-1"}
_COMPACTED = {"cleanup.policy": "compact", "segment.bytes": str(64 << 20), "min.compaction.lag.ms": "600000"}
RECORD_BYTES_MAX = 2 << 20
BATCH_BYTES_MAX = 8 << 20


def dispatch_topic(lane: str) -> str:
    """The topic of work items of a lane."""
    return f"dispatch.{lane}"


class TopicSpec(msgspec.Struct, frozen=True):
    """A topic: `partitions` None means as many as `commands`; `configs` are Kafka's own topic settings."""

    name: str
    configs: Mapping[str, str]
    partitions: int | None = None


def _kept(days: float) -> dict[str, str]:
    return {"retention.ms": str(int(days * _DAY_MS))}


TOPICS: tuple[TopicSpec, ...] = (
    TopicSpec(
        COMMANDS,
        {**_FOR_EVER, "message.timestamp.type": "LogAppendTime", "max.message.bytes": str(RECORD_BYTES_MAX)},
    ),
    TopicSpec(EVENTS, {**_FOR_EVER, "max.message.bytes": str(BATCH_BYTES_MAX)}),
    TopicSpec(ACCOUNTS, {**_COMPACTED, "max.message.bytes": str(BATCH_BYTES_MAX)}),
    *(TopicSpec(dispatch_topic(lane), {**_kept(7), "max.message.bytes": str(BATCH_BYTES_MAX)}) for lane in LANES),
    TopicSpec(REPLIES, {**_kept(1 / 24), "max.message.bytes": str(BATCH_BYTES_MAX)}),
    TopicSpec(ACCESSES, _kept(400)),
    TopicSpec(SESSIONS, _COMPACTED, partitions=1),
    TopicSpec(KEYS, _COMPACTED),
    TopicSpec(DEAD_LETTERS, {**_kept(30), "max.message.bytes": str(RECORD_BYTES_MAX)}),
)
