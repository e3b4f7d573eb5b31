"""Pose networks (input image, backbones, heads, frame of their poses) and learned similarities, built by name.

Also what its file holds beside the weights: model card, template and fingerprints of the CTs it was trained on.
Knows `ct_alignment`, `io` and what lies below; may be imported by all other rooms of `networks` and whatever uses one.
"""
