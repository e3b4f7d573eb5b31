"""Pose regression: networks that estimate from one X-ray how the C-arm stood, trained on simulated X-rays.

Rooms, each on a floor of its own: `model`, `data`, `inference`, `training`. This file itself imports none of them.
"""
