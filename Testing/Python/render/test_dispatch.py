"""The right engine for what is here, and the right words for what is not."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from closed_forms import camera, looking, oblique_grid
from render_checks import noise_map, relative

from xrayreg.checks import InputError
from xrayreg.render import available_engines, prepare, render
from xrayreg.render.dispatch import choose_device, choose_engine
from xrayreg.settings import ENGINES


@pytest.fixture
def without(monkeypatch):
    """Hides a package."""

    def hide(package: str) -> None:
        real = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *rest: None if name == package else real(name, *rest)
        )

    return hide


@pytest.fixture
def without_numba(without):
    without("numba")


@pytest.fixture
def devices(monkeypatch):
    """Sets which accelerators torch claims to see."""

    def claim(*, cuda: bool, mps: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return claim


def test_every_engine_of_the_settings_is_known_and_can_run_here():
    missing = available_engines()
    assert set(missing) == set(ENGINES) - {"auto"}
    assert not any(why for name, why in missing.items() if name != "triton")
    assert bool(missing["triton"]) != torch.cuda.is_available()


def test_prepare_gives_the_engine_that_was_asked_for():
    attenuation = noise_map(oblique_grid((9, 8, 7)))
    pose, view = looking(attenuation.grid), camera(5, 4, 5.0)
    images = {}
    for name in ("reference", "torch", "numba"):
        projector = prepare(attenuation, name, "cpu")
        assert projector.name == name and projector.grid is attenuation.grid
        assert projector.mu.device.type == "cpu"
        images[name] = render(projector, view, pose)
    assert images["reference"].dtype == torch.float64
    assert images["torch"].dtype == images["numba"].dtype == torch.float32
    assert relative(images["torch"], images["numba"]) < 1e-5


def test_automatic_choice_takes_the_gpu_then_numba_then_torch(devices, monkeypatch):
    triton_ready = pytest.importorskip("xrayreg.render.triton_ready", exc_type=ImportError)
    devices(cuda=True, mps=False)
    monkeypatch.setattr(triton_ready, "failure", lambda place: "")
    assert choose_engine() == ("triton", "cuda", "triton on cuda")
    assert choose_engine("triton") == ("triton", "cuda", "triton on cuda as asked")
    assert choose_engine("torch")[:2] == ("torch", "cuda")
    devices(cuda=False, mps=False)
    assert choose_engine() == ("numba", "cpu", "numba on the CPU")
    assert choose_engine("auto", "cpu")[:2] == ("numba", "cpu")


def test_where_triton_does_not_work_torch_takes_the_gpu_and_the_reason_is_told(devices, without, monkeypatch):
    devices(cuda=True, mps=False)
    triton_ready = pytest.importorskip("xrayreg.render.triton_ready", exc_type=ImportError)
    monkeypatch.setattr(triton_ready, "failure", lambda place: f"triton fails on {place}: no C compiler")
    engine, device, reason = choose_engine()
    assert (engine, device) == ("torch", "cuda")
    assert reason == "torch on cuda, because triton is not to be had: triton fails on cuda: no C compiler"
    with pytest.raises(
        InputError, match=r"engine triton: .*found triton fails on cuda: no C compiler; take --engine auto"
    ):
        choose_engine("triton")
    without("triton")
    assert choose_engine()[:2] == ("torch", "cuda")
    assert choose_engine()[2].endswith("the package triton is not installed")


def test_a_triton_that_is_too_old_is_told(monkeypatch):
    triton_ready = pytest.importorskip("xrayreg.render.triton_ready", exc_type=ImportError)
    monkeypatch.delattr(triton_ready.triton, "knobs")
    assert triton_ready.failure("an old place").endswith("is older than 3.4")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_what_hinders_triton_is_found_by_trying():
    triton_ready = pytest.importorskip("xrayreg.render.triton_ready", exc_type=ImportError)
    assert triton_ready.failure("cuda").startswith("triton ")
    assert " fails on cuda: " in triton_ready.failure("cuda")


def test_triton_without_a_gpu_is_refused_with_the_way_out(devices, without, monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    devices(cuda=False, mps=False)
    with pytest.raises(InputError, match=r"engine triton: .*found torch sees no CUDA device; take --engine auto"):
        choose_engine("triton")
    devices(cuda=True, mps=False)
    with pytest.raises(InputError, match=r"device: expected cuda for the triton engine, found cpu; use --engine torch"):
        choose_engine("triton", "cpu")
    # Whoever sets the interpreter gets it where nothing else is there, and only by name.
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    devices(cuda=False, mps=False)
    assert choose_engine("triton") == ("triton", "cpu", "triton on cpu as asked, interpreted")
    assert choose_engine()[0] == "numba"
    without("triton")
    with pytest.raises(InputError, match="the package triton is not installed"):
        choose_engine("triton")


def test_automatic_choice_leaves_apples_gpu_to_those_who_ask(devices):
    devices(cuda=False, mps=True)
    assert choose_device("auto") == "cpu"
    assert choose_engine("auto", "mps")[:2] == ("torch", "mps")


def test_without_numba_the_choice_says_what_is_lost_and_why(without_numba, devices):
    devices(cuda=False, mps=False)
    engine, device, reason = choose_engine()
    assert (engine, device) == ("torch", "cpu")
    assert "slower" in reason and "numba is not installed" in reason
    assert available_engines()["numba"] == "the package numba is not installed"
    assert prepare(noise_map(oblique_grid((3, 4, 5)))).name == "torch"


def test_an_engine_whose_package_is_missing_is_refused_with_the_way_out(without_numba):
    with pytest.raises(InputError, match=r"engine numba: .*not installed; pip install numba, or use torch"):
        choose_engine("numba")


@pytest.mark.parametrize("choose", [choose_engine, lambda name: prepare(noise_map(oblique_grid((3, 4, 5))), name)])
def test_an_unknown_engine_is_refused_with_the_known_ones(choose):
    with pytest.raises(InputError, match=r"engine: expected one of auto, reference, torch, numba.*found siddon"):
        choose("siddon")


def test_an_unknown_device_is_refused_with_the_known_ones():
    for choose in (choose_device, lambda name: choose_engine("torch", name), lambda name: choose_engine("auto", name)):
        with pytest.raises(InputError, match=r"device: expected one of auto, cpu, cuda, mps, found tpu"):
            choose("tpu")


@pytest.mark.parametrize("name", ["cuda", "mps"])
@pytest.mark.parametrize("engine", ["torch", "reference", "auto"])
def test_a_device_that_torch_cannot_see_is_refused(devices, name, engine):
    devices(cuda=False, mps=False)
    with pytest.raises(InputError, match=rf"device: .*found {name}, which torch cannot see; use cpu"):
        choose_engine(engine, name)


@pytest.mark.parametrize("name", ["cuda", "mps", "tpu"])
def test_the_compiled_engine_stays_on_the_cpu_and_says_so(devices, name):
    devices(cuda=True, mps=True)
    with pytest.raises(InputError, match="device: expected "):
        choose_engine("numba", name)
    assert choose_engine("numba", "auto")[:2] == ("numba", "cpu")
