"""The Slicer side of XRayRegistration: the panel, the scene and the jobs. Registration itself is in xrayreg."""
