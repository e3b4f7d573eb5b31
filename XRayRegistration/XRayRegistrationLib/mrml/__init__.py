"""What lies in the MRML scene: the rig of X-ray views, its geometry, and the way to and from xrayreg. No widgets."""
