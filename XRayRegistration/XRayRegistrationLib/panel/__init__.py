"""The module's panel: one file for each section of Resources/UI/XRayRegistration.ui."""
