"""Read model `keys`: the topic `keys` as a table. A record without a value erases its key."""

import base64
from collections.abc import Sequence

from infra.sealing.topic import parse_record_key
from projections.rows import DataKey, RawRecord, Rows, rows_of

NAME = "keys"


def fold_keys(records: Sequence[RawRecord]) -> Rows:
    """The last state of each key in the batch; records of another form are left out."""
    keys: dict[tuple[str, str], DataKey] = {}
    for record in records:
        place = parse_record_key(record.key or b"")
        if place is not None:
            wrapped = None if record.value is None else base64.b64encode(record.value).decode()
            keys[place] = DataKey(account=place[0], key_id=place[1], wrapped=wrapped)
    return rows_of(list(keys.values()))
