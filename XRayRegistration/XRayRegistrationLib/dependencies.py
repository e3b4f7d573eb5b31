"""The packages that registration needs and Slicer does not bring along, installed when first needed.

torch comes through the PyTorch extension, which picks the build for this computer. The rest comes through
slicer.packaging, which asks before it changes anything; Slicer 5.10 has no such module, so there we ask ourselves.
"""

import importlib
import importlib.util
import logging
import subprocess

import slicer
from slicer.i18n import tr as _

TORCH = "torch>=2.4"
REQUIRED = ("matplotlib>=3.8", "nibabel>=5.2", "pillow>=10.3", "pydicom>=3.0", "scipy>=1.12")
# Much faster on computers without a graphics card; without it the torch engine does the work.
OPTIONAL = ("numba>=0.60",)

_IMPORT_NAMES = {"pillow": "PIL"}
_asked = set()


class MissingPackages(RuntimeError):
    """Packages are missing; the message says which, and what to do."""


def missing():
    """Names of the packages without which nothing can be registered."""
    return [name for name in map(_name, (TORCH, *REQUIRED)) if not _isInstalled(name)]


def ensure():
    """Install what is missing, after asking. Raises MissingPackages when registration cannot run afterwards."""
    if not _isInstalled("torch"):
        _installTorch()
    _install(REQUIRED)
    if not _asked.issuperset(OPTIONAL):
        _asked.update(OPTIONAL)
        try:
            _install(OPTIONAL)
        except MissingPackages as error:
            logging.warning("%s", error)
    still = missing()
    if still:
        raise MissingPackages(
            _("Python packages are missing: {names}. Register again and agree to install them.").format(
                names=", ".join(still)
            )
        )


def _name(requirement):
    return requirement.split(">=")[0]


def _isInstalled(name):
    return importlib.util.find_spec(_IMPORT_NAMES.get(name, name)) is not None


def _installTorch():
    try:
        import PyTorchUtils
    except ModuleNotFoundError as error:
        raise MissingPackages(
            _("PyTorch is missing. Install the extension PyTorch in the Extensions Manager and restart Slicer.")
        ) from error
    # In tests nobody answers questions, and installing would change the Slicer that is tested.
    if slicer.app.testingEnabled():
        return
    try:
        installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=True, torchVersionRequirement=TORCH.removeprefix("torch")
        )
    except (RuntimeError, ValueError, subprocess.CalledProcessError) as error:
        raise MissingPackages(
            _("PyTorch could not be installed: {reason}. The module PyTorch Utils can remove and reinstall it.").format(
                reason=error
            )
        ) from error
    if installed is None:
        raise MissingPackages(_("PyTorch is needed to register. Register again and agree to install it."))


def _install(requirements):
    wanted = [requirement for requirement in requirements if not _isInstalled(_name(requirement))]
    if not wanted:
        return
    try:
        if importlib.util.find_spec("slicer.packaging"):
            importlib.import_module("slicer.packaging").pip_ensure(wanted, requester="XRayRegistration")
        elif not slicer.app.testingEnabled():
            _installWithoutPackaging(wanted)
    except (RuntimeError, subprocess.CalledProcessError) as error:
        raise MissingPackages(
            _("{names} could not be installed: {reason}").format(names=", ".join(wanted), reason=error)
        ) from error
    importlib.invalidate_caches()


def _installWithoutPackaging(wanted):
    question = _("These Python packages are needed: {names}. Install them now?").format(names=", ".join(wanted))
    if not slicer.util.confirmOkCancelDisplay(question, "XRayRegistration"):
        raise RuntimeError(_("declined"))
    for requirement in wanted:
        slicer.util.pip_install(requirement)
