"""A generated patient and a simulated X-ray machine: test images independent of the registration engines."""

from .detector import Collimator
from .metal import MetalBall, MetalRod
from .patient import Patient, patient_on, relative_steps
from .phantom import LABEL_NAMES, pelvis_phantom
from .spectrum import Spectrum, single_energy, tube_spectrum
from .xray import SimulatedXray, XraySettings, simulate_xray

__all__ = [
    "LABEL_NAMES",
    "Collimator",
    "MetalBall",
    "MetalRod",
    "Patient",
    "SimulatedXray",
    "Spectrum",
    "XraySettings",
    "patient_on",
    "pelvis_phantom",
    "relative_steps",
    "simulate_xray",
    "single_energy",
    "tube_spectrum",
]
