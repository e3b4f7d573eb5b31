"""Computing in a process of its own, for a window that must never wait.

Requests go over standard streams, arrays through files. `messages` and `arrays` are what both ends speak; they load
nothing but numpy. Everything else is the computing end (`python -m xrayreg.worker FOLDER`), which the Slicer module
starts (XRayRegistrationLib.worker).
"""
