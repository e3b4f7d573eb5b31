"""The network itself: its input image, backbones and pose heads, and the frame that its poses are relative to.

Also what its file holds beside the weights: model card, template and fingerprints of the CTs it was trained on.
Knows `ct_alignment`, `io` and what lies below; may be imported by all other rooms of `networks` and whatever uses one.
"""
