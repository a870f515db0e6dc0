"""What the bench measures: each module has `measure(bench, station)` and adds its figures to the bench."""
