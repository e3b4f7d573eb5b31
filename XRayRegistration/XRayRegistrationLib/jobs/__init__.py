"""Long work in short steps that a timer advances, so that the window stays responsive."""
