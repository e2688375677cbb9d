"""Running `process`: the six steps of one request, the worker, the pauses after a failure."""
