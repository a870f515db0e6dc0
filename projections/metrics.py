"""What the projector tells Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("darkroom_projected_events", "Events applied to the read models.")
KEYS = Counter("darkroom_projected_keys", "Records of the topic of keys applied.")
HOLES = Counter(
    "darkroom_projection_holes", "Things the log must have said and did not; never zero is an alarm.", ("what",)
)
RESTARTS = Counter("darkroom_projection_restarts", "Sessions ended by a fault and begun again.", ("reason",))
WRITE_SECONDS = Histogram(
    "darkroom_projection_write_seconds",
    "One transaction of rows and positions.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
BATCH_EVENTS = Histogram(
    "darkroom_projection_batch_events",
    "Events of one transaction.",
    buckets=(1, 2, 5, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000),
)
LAG_RECORDS = Gauge(
    "darkroom_projection_lag_records", "Offsets between the read models and the log's end.", ("partition",)
)
UPKEEP_FAULTS = Counter("darkroom_upkeep_faults", "Hourly work (sweeps, beats on the topic of keys) that failed.")
SWEEPS = Counter("darkroom_sweeps", "Sweeps of the object store that were done.")
SWEPT_OBJECTS = Counter("darkroom_swept_objects", "Objects that no event named, removed.")
SWEPT_BYTES = Counter("darkroom_swept_bytes", "Bytes of those objects.")
SWEPT_UPLOADS = Counter("darkroom_swept_uploads", "Uploads that were cut off, forgotten.")
SWEEP_STRANGERS = Gauge("darkroom_sweep_strangers", "Objects of accounts that the log does not know, left alone.")
FEEDS = Counter("darkroom_projection_feed_items", "Items that the archive and the audit have written.", ("feed",))
