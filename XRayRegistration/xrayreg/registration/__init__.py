"""A complete registration: from a scene to a pose with a verdict.

Modules, each a layer of its own: `problem` (what is solved at one level), `problem_cache`, `initial` (initialisation),
`verdict`, `assessment` (the evidence for it), `starts` (which attempts, in which order), `results` and `pipeline` (the
complete sequence). This file itself imports none of them.
"""
