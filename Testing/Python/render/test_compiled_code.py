"""Compiled kernels between runs: known to be there or not, loaded one at a time, and kept where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xrayreg
from xrayreg.checks import InputError
from xrayreg.cli import main
from xrayreg.render import kernel_cache, kernels_are_cached, numba_compiling, require_kernel_cache, warm_up

SOURCES = str(Path(xrayreg.__file__).parents[1])
# Stands in for a read-only checkout of a user without a home: numba may write only where the package itself says.
READ_ONLY = """
import numba.core.caching as caching
real = caching._CacheLocator.ensure_cache_path
def ensure_cache_path(self):
    if "xrayreg-numba-" not in self.get_cache_path():
        raise PermissionError(13, "read-only", self.get_cache_path())
    real(self)
caching._CacheLocator.ensure_cache_path = ensure_cache_path
import numba
from xrayreg.cli import main
from xrayreg.render import numba_engine
print(main(["warm-up", "--engine", "numba"]), numba.config.CACHE_DIR)
"""
ASKED = "from xrayreg.render import kernels_are_cached; print(kernels_are_cached('numba'))"
# Tells where it looks, and answers once something was put there.
WHERE_THEN_ASKED = f"""
from xrayreg.render import numba_kernels
print(numba_kernels.project.stats.cache_path, flush=True)
input()
{ASKED}
"""


def test_loading_kernels_again_compiles_nothing():
    assert warm_up("numba") >= 0
    assert warm_up("numba") == 0
    assert warm_up("torch") == 0


def parts_of(engine: str, learned_maps: bool = False) -> list[str]:
    """The names of what is loaded, in their order."""
    names: list[str] = []
    warm_up(engine, learned_maps=learned_maps, on_part=names.append)  # type: ignore[arg-type]
    return names


def test_kernels_are_loaded_one_at_a_time_and_named():
    assert parts_of("numba")[-3:] == ["DRRs", "DRRs with derivatives", "DRRs of several maps"]
    assert parts_of("torch") == []


def test_kernels_of_a_networks_maps_are_loaded_when_they_are_asked_for():
    learned = ["DRRs of a network's maps", "derivatives by these maps"]
    assert not set(learned) & set(parts_of("numba"))
    assert parts_of("numba", learned_maps=True)[-2:] == learned
    # numba renders such maps whatever renders the CT.
    assert parts_of("torch", learned_maps=True)[-2:] == learned
    assert warm_up("numba", learned_maps=True) == 0 and kernels_are_cached("torch", learned_maps=True)


def test_what_is_missing_of_a_networks_maps_concerns_only_those_who_need_them(monkeypatch):
    warm_up("numba", learned_maps=True)
    kernel, arguments = kernel_cache._learned_calls()["derivatives by these maps"]
    fresh = numba_compiling.kernel()(kernel.py_func)
    monkeypatch.setattr(kernel_cache, "_learned_calls", lambda: {"derivatives": (fresh, arguments)})
    monkeypatch.setattr(kernel_cache, "_stored", lambda kernel, signature: kernel is not fresh)
    assert kernels_are_cached("numba") and not kernels_are_cached("numba", learned_maps=True)


def test_compiling_kernels_is_timed(monkeypatch):
    # As on a first run, without the time that takes: numba counts one more kernel that no folder held.
    counts = iter((0, 1, 1, 1, 1, 1))
    monkeypatch.setattr(kernel_cache, "_compiled", lambda kernel: next(counts))
    assert warm_up("numba") > 0


@pytest.mark.long
def test_kernels_that_a_run_has_kept_are_there_for_the_next_one(tmp_path):
    warm_up("numba")
    kept = Path(kernel_cache.kernels.project.stats.cache_path)
    assert kernels_are_cached("numba") and asked_with(kept.parent) == "True"
    copied = shutil.copytree(kept.parent, tmp_path / "copy")
    assert asked_with(copied) == "True"
    for data in copied.rglob("numba_kernels.project-*.nbc"):
        data.unlink()
    assert asked_with(copied) == "False"
    # An engine that compiles nothing has nothing to wait for.
    assert kernels_are_cached("torch")


def asked_with(folder: Path) -> str:
    """What a new process says that looks for kernels in `folder`."""
    environment = {**os.environ, "PYTHONPATH": SOURCES, "NUMBA_CACHE_DIR": str(folder)}
    return subprocess.check_output([sys.executable, "-c", ASKED], text=True, env=environment).strip()


def test_what_was_kept_counts_as_missing_once_a_file_changes_from_which_functions_were_taken(tmp_path):
    warm_up("numba")
    # Numba itself looks at numba_kernels.py alone.
    package = shutil.copytree(Path(xrayreg.__file__).parent, tmp_path / "sources" / "xrayreg")
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    # What was compiled for these sources serves their copy, whose files are as old and as long.
    asked = [sys.executable, "-c", WHERE_THEN_ASKED]
    with subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        place = child.stdout.readline().strip()
        shutil.copytree(kernel_cache.kernels.project.stats.cache_path, place, dirs_exist_ok=True)
        assert child.communicate("\n")[0].strip() == "True"
    with (package / "render" / "numba_reads.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    answer = subprocess.check_output([sys.executable, "-c", ASKED], text=True, env=environment)
    assert answer.strip() == "False"


def test_warming_up_where_everything_is_there_says_so(capsys):
    warm_up("numba", learned_maps=True)
    assert main(["warm-up"]) == 0
    assert capsys.readouterr().out == "Nothing was left to compile.\n"


def test_where_nothing_can_be_written_warming_up_is_refused_and_the_process_cleans_up():
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    environment.pop("NUMBA_CACHE_DIR", None)
    finished = subprocess.run(
        [sys.executable, "-c", READ_ONLY], capture_output=True, text=True, env=environment, check=True
    )
    code, name = finished.stdout.split(maxsplit=1)
    assert code == "2" and "set NUMBA_CACHE_DIR to a folder that you may write to" in finished.stderr
    folder = Path(name.strip())
    assert folder.name.startswith("xrayreg-numba-")
    assert not folder.exists()


def test_a_folder_asked_for_in_vain_is_named(monkeypatch):
    monkeypatch.setattr(numba_compiling, "KEPT", False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/proc/nowhere")
    with pytest.raises(InputError, match="expected a folder to keep it in, found NUMBA_CACHE_DIR, /proc/nowhere"):
        require_kernel_cache("numba")
    require_kernel_cache("torch")
