"""Using a trained network: prediction from an X-ray, test-time augmentation, and locating a patient in its frame.

Depends on `networks.model` and `networks.data` (it renders DRRs of a CT unknown to the network).
May be imported by `networks.training` (finetuning starts from a network) and by the registration.
"""
