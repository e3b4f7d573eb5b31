"""Training data: CTs made ready for rendering, sampled poses and image appearances, and batches of simulated X-rays.

Knows `networks.model` and `render`, nothing of how a network is trained. May be imported by `networks.inference`,
`networks.training` and higher floors.
"""
