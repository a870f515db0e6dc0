"""Read model `keys`: the topic `keys` as a table. A record without a value erases its key.

Record key `<account>.<key id>`, value the wrapped data key (`infra.sealing.topic` writes it).
"""

import base64
from collections.abc import Sequence

from projections.rows import DataKey, RawRecord, Rows, rows_of

NAME = "keys"


def fold_keys(records: Sequence[RawRecord]) -> Rows:
    """The last state of each key in the batch; records of another form are left out."""
    keys: dict[tuple[str, str], DataKey] = {}
    for record in records:
        account, _, key_id = (record.key or b"").decode("utf-8", "replace").partition(".")
        if account and key_id:
            wrapped = None if record.value is None else base64.b64encode(record.value).decode()
            keys[account, key_id] = DataKey(account=account, key_id=key_id, wrapped=wrapped)
    return rows_of(list(keys.values()))
