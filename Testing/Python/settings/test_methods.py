"""Published constants are what their sources say, and settings can be written down."""

from __future__ import annotations

import json
import math
from dataclasses import is_dataclass

from xrayreg.settings import methods
from xrayreg.settings.plain import as_plain


def presets() -> dict[str, object]:
    return {name: value for name, value in vars(methods).items() if name.isupper() and is_dataclass(value)}


def test_every_preset_can_be_written_down():
    assert len(presets()) >= 15
    for value in presets().values():
        assert json.loads(json.dumps(as_plain(value)))


def test_evaluations_are_those_that_the_sources_tell():
    # Grupp et al. 2020: 1000 members for 400 generations; about 2.7 million poses; half a million in the second grid.
    assert methods.GRUPP_DE.population * methods.GRUPP_DE.generations == 400_000
    assert math.prod(methods.GRUPP_GLOBAL_GRID.counts) == 17 * 17 * 21**3
    assert math.prod(methods.GRUPP_GRID.counts) == 11**5 * 3
    # The released CMA-ES baseline of Chen et al.: 30 members for 100 generations.
    assert methods.CHEN_CMA.population * methods.CHEN_CMA.generations == 3000


def test_grid_steps_are_those_that_the_sources_tell():
    def steps(grid, box):
        edges = [2 * half for half in (*box.rotation_deg, *box.translation_mm)]
        return [edge / (count - 1) if count > 1 else 0.0 for edge, count in zip(edges, grid.counts, strict=True)]

    assert steps(methods.GRUPP_GRID, methods.GRUPP_GRID_BOX) == [1.0, 1.0, 1.0, 2.0, 2.0, 10.0]
    wide = steps(methods.GRUPP_GLOBAL_GRID, methods.GRUPP_GLOBAL_GRID_BOX)
    assert wide == [7.5, 5.0, 0.0, 20.0, 20.0, 25.0]


def test_prosts_rates_are_those_that_the_source_tells():
    settings, cycle = methods.PROST_SGD_GRADIENT, methods.PROST_SGD_GRADIENT.schedule
    assert math.isclose(settings.rates[0] * cycle.lowest, 1e-3) and math.isclose(
        settings.rates[0] * cycle.highest, 3e-3
    )
    assert (settings.momentum, settings.steps, settings.still, cycle.half) == (0.9, 500, 1e-4, 100)


def test_rates_adapted_is_all_that_lra_cma_changes():
    plain, adapted = as_plain(methods.CHEN_CMA), as_plain(methods.LRA_CMA)
    assert {name for name in plain if plain[name] != adapted[name]} == {"adapt_rates"}
