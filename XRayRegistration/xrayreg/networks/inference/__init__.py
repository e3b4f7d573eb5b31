"""Using a trained network: prediction from an X-ray, test-time augmentation, and where a patient lies in its frame.

Knows `networks.model` and `networks.data` (it renders DRRs of a CT that the network has not seen).
May be imported by `networks.training` (finetuning starts from a network) and by the registration.
"""
