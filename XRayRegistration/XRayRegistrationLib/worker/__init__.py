"""The worker: xrayreg in a separate process, with its start, requests and end. Independent of the scene; no widgets."""
