"""The packages that registration needs and Slicer does not include, installed when first needed.

torch comes through the PyTorch extension, which picks the build for this computer. The rest comes through
slicer.packaging, which asks before it changes anything; Slicer 5.10 has no such module, so there we ask ourselves.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import re
import subprocess
from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

TORCH = "torch>=2.4"
REQUIRED = ("nibabel>=5.2", "pillow>=10.3", "psutil>=5.9", "pydicom>=3.0", "scipy>=1.12")
# Only the sheets of a saved report are written with its fonts.
FOR_REPORTS = ("matplotlib>=3.8",)
# Much faster on computers without a graphics card; without it the torch engine does the work. Bounded above, because
# private parts of it are used.
FASTER = ("numba>=0.60,<0.69",)
# The oldest Slicer in which the module is tried.
TRIED_FROM = (5, 12)

_IMPORT_NAMES = {"pillow": "PIL"}
# What pip and its callers raise; a library that does not load on Windows is an OSError.
_INSTALLERS_ERRORS = (RuntimeError, ValueError, ImportError, OSError, subprocess.CalledProcessError)
_LONGEST_REASON = 160
# What is not asked for again by the way, and what was found to be there: looking takes milliseconds each time.
_givenUp: set[str] = set()
_found: set[str] = set()


def quietLibraries() -> None:
    """Keep numba's compiler messages out of Slicer's log, which records everything: 24 000 records per start."""
    logger = logging.getLogger("numba")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)


class MissingPackages(RuntimeError):
    """Packages are missing; the message says in one line which, and what to do."""


def missing() -> list[str]:
    """Names of the packages without which nothing can be registered, too old ones included."""
    return _names(_absent((TORCH, *REQUIRED)))


def ensure() -> None:
    """Install the packages needed for registration, after asking. Raises MissingPackages if it still cannot run.

    numba is offered in the same question, but never asked for alone: the panel has a line about it.
    """
    quietLibraries()
    if _absent((TORCH,)):
        _installTorch()
    wanted = _absent(REQUIRED)
    if wanted:
        offered = [requirement for requirement in _absent(FASTER) if requirement not in _givenUp]
        # pip installs all or nothing, and there is not a numba for every computer.
        _givenUp.update(offered)
        _install((*wanted, *offered))
    _require((TORCH, *REQUIRED))


def ensureForReports() -> None:
    """Install the packages that pictures and reports need beyond `ensure`, after asking; raises MissingPackages."""
    ensure()
    _install(_absent(FOR_REPORTS))
    _require(FOR_REPORTS)


def installFaster() -> None:
    """Install packages that make registration faster on this computer, after asking; raises MissingPackages."""
    _install(_absent(FASTER))
    _require(FASTER)


def canBeFaster() -> bool:
    """Whether `installFaster` has something to install."""
    return bool(_absent(FASTER))


def status() -> list[str]:
    """Messages about packages and Slicer's version, one sentence per line, without importing any of them."""
    lines = []
    if _absent((TORCH,)):
        lines.append(
            _("PyTorch is missing: it is installed when first needed, after asking.")
            if _hasTorchUtils()
            else _("PyTorch is missing: install the extension PyTorch in the Extensions Manager and restart Slicer.")
        )
    wanted = _names(_absent(REQUIRED))
    if wanted:
        lines.append(_("To be installed when first needed, after asking: {names}.").format(names=", ".join(wanted)))
    if not lines:
        lines.append(_("Everything needed to register is installed."))
    if canBeFaster():
        lines.append(_("Without numba DRRs are rendered by PyTorch, on a processor about twenty times slower."))
    version = (int(slicer.app.majorVersion), int(slicer.app.minorVersion))
    if version < TRIED_FROM:
        lines.append(
            _("This is Slicer {found}; the module is made for {wanted} and newer.").format(
                found=".".join(map(str, version)), wanted=".".join(map(str, TRIED_FROM))
            )
        )
    return lines


def _absent(requirements: Sequence[str]) -> list[str]:
    return [requirement for requirement in requirements if not _isInstalled(requirement)]


def _names(requirements: Sequence[str]) -> list[str]:
    return [requirement.split(">=")[0] for requirement in requirements]


def _isInstalled(requirement: str) -> bool:
    """Whether the package is installed in a version that the requirement allows; it is not imported."""
    if requirement not in _found and _isThere(*requirement.split(">=")):
        _found.add(requirement)
    return requirement in _found


def _isThere(name: str, versions: str) -> bool:
    """Whether a package is there; versions: "LEAST", or "LEAST,<TOO_NEW"."""
    if importlib.util.find_spec(_IMPORT_NAMES.get(name, name)) is None:
        return False
    least, _comma, tooNew = versions.partition(",<")
    try:
        found = _numbers(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        found = ()
    if not found:
        # Importable without being installed by pip, or without saying its version: somebody's own build.
        return True
    return found >= _numbers(least) and not (tooNew and found >= _numbers(tooNew))


def _numbers(version: str | None) -> tuple[int, ...]:
    """The numbers with which a version begins; none where it begins with something else."""
    found = re.match(r"\d+(?:\.\d+)*", version or "")
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def _require(requirements: Sequence[str]) -> None:
    still = _names(_absent(requirements))
    if still:
        raise MissingPackages(
            _("Python packages are missing: {names}. Start again and agree to install them.").format(
                names=", ".join(still)
            )
        )


def _hasTorchUtils() -> bool:
    return importlib.util.find_spec("PyTorchUtils") is not None


def _installTorch() -> None:
    if not _hasTorchUtils():
        raise MissingPackages(
            _("PyTorch is missing. Install the extension PyTorch in the Extensions Manager and restart Slicer.")
        )
    # In tests there is no user to answer, and installing would change the Slicer under test.
    if slicer.app.testingEnabled():
        return
    import PyTorchUtils

    try:
        installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=True, torchVersionRequirement=TORCH.removeprefix("torch")
        )
    except _INSTALLERS_ERRORS as error:
        raise MissingPackages(
            _(
                "PyTorch could not be installed ({reason}). The module PyTorch Utils can remove and reinstall it."
            ).format(reason=_reason(error))
        ) from error
    if installed is None:
        raise MissingPackages(_("PyTorch is needed to register. Start again and agree to install it."))


def _install(wanted: list[str] | tuple[str, ...]) -> None:
    """Ask and install. Raises MissingPackages where the user declines or the installer fails."""
    if not wanted:
        return
    names = ", ".join(_names(wanted))
    try:
        if importlib.util.find_spec("slicer.packaging"):
            importlib.import_module("slicer.packaging").pip_ensure(list(wanted), requester="XRayRegistration")
        elif not slicer.app.testingEnabled():
            _installWithoutPackaging(tuple(wanted), names)
    except RuntimeError as error:
        raise MissingPackages(
            _("Not installed, as you wished: {names}. Start again and agree to install them.").format(names=names)
        ) from error
    except _INSTALLERS_ERRORS as error:
        raise MissingPackages(
            _("{names} could not be installed ({reason}). Is this computer online? The log has the details.").format(
                names=names, reason=_reason(error)
            )
        ) from error
    importlib.invalidate_caches()


def _installWithoutPackaging(wanted: tuple[str, ...], names: Any) -> None:
    question = _("These Python packages are needed: {names}. Install them now?").format(names=names)
    if not slicer.util.confirmOkCancelDisplay(question, "XRayRegistration"):
        raise RuntimeError("declined")
    for requirement in wanted:
        slicer.util.pip_install(requirement)


def _reason(error: Exception) -> str:
    """An installer's error in a few words; all of it goes to the log."""
    logging.warning("An installation failed", exc_info=error)
    if isinstance(error, subprocess.CalledProcessError):
        return _("pip ended with code {code}").format(code=error.returncode)
    told = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return told if len(told) <= _LONGEST_REASON else told[:_LONGEST_REASON] + "…"
