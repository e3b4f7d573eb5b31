"""xrayreg in a process of its own: started, asked and ended here. Nothing of the scene; no widgets."""
