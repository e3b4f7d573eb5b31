"""The module's nodes in the MRML scene: the rig of X-ray views, its geometry, and exchange with xrayreg. No widgets."""
