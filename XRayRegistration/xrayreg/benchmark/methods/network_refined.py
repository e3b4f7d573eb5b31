"""A network's pose, then the refinement that xvr applies after its own networks (methods.md A2, E4: B7)."""

from __future__ import annotations

from .gradients import XvrSettings, xvr
from .learned import followed
from .method import NETWORK, Method
from .ours import network_alone

NETWORK_REFINED = (
    Method(
        "network+xvr",
        "Network, then Adam (xvr)",
        "Gopalakrishnan et al., arXiv 2503.16309, 2025, from a network of ours.",
        (NETWORK,),
        followed(network_alone, xvr, XvrSettings),
    ),
)
