"""Networks trained on simulated X-rays: pose regression from one X-ray, and similarities of X-rays and DRRs.

Subpackages, one layer each: `model`, `data`, `inference`, `training`. This file itself imports none of them.
"""
