"""How the scene is shown: layout, X-ray views with their overlays, the C-arm in 3D."""
