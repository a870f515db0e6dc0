"""Events into read models: pure folds, one file per model, and the runner that writes rows and position together."""
