"""Rigid alignment of two CTs, so that a network trained on some patients serves others: preprocess, search, refine.

Depends on volumes and their geometry, not on networks or X-rays.
May be imported by `networks` and higher layers.
"""
