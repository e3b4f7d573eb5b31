"""xrayreg: finds how the C-arm stood relative to a patient's CT when an X-ray was taken."""

__version__ = "0.1.0"
