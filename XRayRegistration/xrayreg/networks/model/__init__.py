"""Pose networks (input image, backbones, heads, frame of their poses) and learned similarities, built by name.

Also the file contents beside the weights: model card, template and fingerprints of the CTs it was trained on.
Depends on `ct_alignment`, `io` and lower layers; may be imported by the rest of `networks` and by its users.
"""
