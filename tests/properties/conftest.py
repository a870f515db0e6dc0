"""How many examples, and from which seed.

By default the same examples every time, so that a run is a verdict. DARKROOM_HYPOTHESIS=explore looks at new ones; a
failure then prints the line `@reproduce_failure(...)` that replays it when put above the test.
"""

import os

from hypothesis import HealthCheck, settings

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=60, suppress_health_check=SLOW)
settings.register_profile("explore", deadline=None, max_examples=1_000, print_blob=True, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("DARKROOM_HYPOTHESIS", "steady"))
