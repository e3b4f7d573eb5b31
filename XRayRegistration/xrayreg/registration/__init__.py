"""All of one registration: from a scene to a pose with a verdict.

Rooms, each on a floor of its own: `problem` (what is solved at one level), `problem_cache`, `initial` (where to start),
`verdict`, `assessment` (the evidence for it), `starts` (what is tried, in which order), `results` and `pipeline` (the
whole, step by step). This file itself imports none of them.
"""
