"""Computation in a separate process, so that a GUI stays responsive.

Requests are sent over standard streams, arrays through files. `messages` and `arrays` are used by both ends; they
import only numpy. Everything else is the worker (`python -m xrayreg.worker FOLDER`), which the Slicer module starts
(XRayRegistrationLib.worker).
"""
