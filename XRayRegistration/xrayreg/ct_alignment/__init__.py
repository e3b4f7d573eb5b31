"""Rigid alignment of two CTs, so that a network trained on some patients serves others: preprocess, search, refine.

Knows volumes and their geometry, nothing of networks or X-rays.
May be imported by `networks` and whatever lies above it.
"""
