"""Training data: CTs prepared for rendering, sampled poses and image appearances, and batches of simulated X-rays.

Depends on `networks.model` and `render`, not on how a network is trained. May be imported by `networks.inference`,
`networks.training` and higher layers.
"""
