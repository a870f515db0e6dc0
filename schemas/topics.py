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
_HOUR_MS = 3_600_000
_COMPACTED = {"cleanup.policy": "compact", "segment.bytes": str(64 << 20), "min.compaction.lag.ms": "600000"}
_ERASABLE = {
    **_COMPACTED,
    # A wrapped key is off the disks within three hours of its tombstone: a record an hour (`infra.sealing.topic`)
    # closes a segment that is older than half an hour, and the cleaner takes what has waited an hour, clean or not.
    "segment.ms": str(_HOUR_MS // 2),
    "max.compaction.lag.ms": str(_HOUR_MS),
    # A reader that was away for less than this sees the tombstone itself.
    "delete.retention.ms": str(30 * _DAY_MS),
}
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
    TopicSpec(KEYS, _ERASABLE),
    TopicSpec(DEAD_LETTERS, {**_kept(30), "max.message.bytes": str(RECORD_BYTES_MAX)}),
)
