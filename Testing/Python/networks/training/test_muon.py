"""Filters move along every direction alike."""

from __future__ import annotations

import pytest
import torch

from xrayreg.networks.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (16, 16), (1, 9)])
def test_singular_vectors_stay_and_singular_values_come_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inside = left.mT @ orthogonalise(matrix) @ right.mT
    values = inside.diagonal()
    # The iteration's coefficients promise no more than a third off.
    assert float(values.min()) > 0.6 and float(values.max()) < 1.4
    assert float((inside - values.diag()).abs().max()) < 1e-4


def test_size_of_a_gradient_plays_no_part_and_zeros_stay_zeros():
    matrix = torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(orthogonalise(1e-6 * matrix), orthogonalise(1e6 * matrix))
    assert not orthogonalise(torch.zeros(4, 9)).any()


def test_steps_are_as_large_as_adams_and_go_downhill():
    generator = torch.Generator().manual_seed(2)
    wanted = torch.randn(8, 4, 3, 3, generator=generator)
    filters = torch.zeros(8, 4, 3, 3, requires_grad=True)
    optimiser = Muon([filters], lr=0.1)
    first = (filters - wanted).square().sum()
    first.backward()
    optimiser.step()
    # Root mean square 0.2 times the rate, but for the third that singular values are off.
    assert float(filters.detach().square().mean().sqrt()) == pytest.approx(0.02, rel=0.35)
    assert float((filters.detach() - wanted).square().sum()) < float(first.detach())


def test_weights_without_gradient_stay_and_decay_shrinks_the_others():
    still, moved = torch.ones(2, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)
    moved.grad = torch.zeros(2, 3)
    Muon([still, moved], lr=0.5, weight_decay=0.2).step()
    assert bool((still == 1).all())
    torch.testing.assert_close(moved.detach(), torch.full((2, 3), 0.9))


def test_a_run_goes_on_exactly_from_its_state():
    def steps(filters, optimiser, count):
        for _ in range(count):
            optimiser.zero_grad()
            (filters - 1).square().sum().backward()
            optimiser.step()

    start = torch.randn(4, 9, generator=torch.Generator().manual_seed(3))
    whole = start.clone().requires_grad_()
    steps(whole, Muon([whole], 0.05), 4)
    part = start.clone().requires_grad_()
    first = Muon([part], 0.05)
    steps(part, first, 2)
    again = part.detach().clone().requires_grad_()
    second = Muon([again], 0.05)
    second.load_state_dict(first.state_dict())
    steps(again, second, 2)
    assert torch.equal(again, whole)
