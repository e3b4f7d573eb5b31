"""The simulated X-ray against physics in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, VoxelGrid
from xrayreg.scene import Volume
from xrayreg.simulation import Collimator, MetalBall, MetalRod, XraySettings, simulate_xray
from xrayreg.simulation.materials import DENSITY, mass_attenuation
from xrayreg.simulation.projector import pixel_rays

CLEAN = XraySettings(energy_kev=60.0, photons=None, scatter_to_primary=0.0, blur_px=0.0, exposure=1.0, rays_per_side=1)
CAMERA = Camera.from_sid(1000.0, 2.0, 40, 36)


def slab(hounsfield: float = 0.0, side: int = 60, thickness: int = 10) -> Volume:
    """A slab of `side` x `side` x `thickness` voxels of 4 x 4 x 5 mm, of one value, with air in a far corner."""
    values = np.full((thickness, side, side), hounsfield, np.float32)
    values[0, 0, 0] = -1000
    return Volume(values, VoxelGrid.from_spacing((side, side, thickness), (4.0, 4.0, 5.0)))


def facing(distance_mm: float = 700.0) -> np.ndarray:
    """camera_from_volume: the volume's axes are the camera's, its origin `distance_mm` before the source."""
    pose = np.eye(4)
    pose[2, 3] = distance_mm
    return pose


def obliquity() -> np.ndarray:
    """Length of each pixel's ray per unit depth (height, width)."""
    return np.linalg.norm(next(pixel_rays(CAMERA, 1)), axis=1).reshape(CAMERA.height, CAMERA.width)


@pytest.mark.parametrize("energy_kev", [40.0, 60.0, 100.0])
def test_one_energy_through_water_is_beer_lambert(energy_kev):
    image = simulate_xray(slab(), CAMERA, facing(), replace(CLEAN, energy_kev=energy_kev))
    expected = np.exp(-mass_attenuation("water", energy_kev) * 5.0 * obliquity())
    np.testing.assert_allclose(image.primary, expected, rtol=1e-4)
    # 16 bits: half a count of rounding.
    np.testing.assert_allclose(image.transmission / 65535, expected, atol=0.51 / 65535)


def test_bone_attenuates_as_its_ct_number_at_70_kev_and_more_below():
    at70, at40 = (
        -np.log(simulate_xray(slab(1000.0), CAMERA, facing(), replace(CLEAN, energy_kev=e)).primary[18, 20])
        for e in (70.0, 40.0)
    )
    water70, water40 = (mass_attenuation("water", e) for e in (70.0, 40.0))
    assert at70 == pytest.approx(2 * 5.0 * water70, rel=1e-3)
    assert at40 > 1.3 * 2 * 5.0 * water40


def test_a_spectrum_hardens_in_thick_matter():
    def depth(thickness: int) -> float:
        settings = replace(CLEAN, energy_kev=None)
        return float(-np.log(simulate_xray(slab(thickness=thickness), CAMERA, facing(), settings).primary[18, 20]))

    # Twice the water attenuates less than twice as much, and more than once.
    assert 1.5 * depth(20) < depth(40) < 1.98 * depth(20)


def test_a_turned_and_shifted_patient_under_the_same_turned_camera_gives_the_same_image():
    volume = slab(side=12)
    moved = np.eye(4)
    moved[:3, :3] = Rotation.from_euler("xyz", [25, 40, -70], degrees=True).as_matrix()
    moved[:3, 3] = (40, -90, 15)
    grid = VoxelGrid(volume.grid.shape, moved @ volume.grid.volume_from_index)
    first = simulate_xray(volume, CAMERA, facing(), CLEAN)
    second = simulate_xray(Volume(volume.values, grid), CAMERA, facing() @ np.linalg.inv(moved), CLEAN)
    assert first.primary.min() < 0.5 < first.primary.max()
    # Rounding may give a ray one sample more, which shows where the field varies: near the corner of air.
    assert np.quantile(np.abs(first.primary - second.primary), 0.9) < 1e-6
    assert np.abs(first.primary - second.primary).max() < 1e-3


def test_a_metal_ball_lands_where_the_camera_projects_its_centre():
    pose = facing()
    pose[:3, :3] = Rotation.from_rotvec([0.2, -0.3, 0.5]).as_matrix()
    centre = (12.0, -9.0, 20.0)
    settings = replace(CLEAN, rays_per_side=4, metal=(MetalBall(centre, 3.0),))
    camera = Camera.from_sid(1000, 0.5, 160, 150)
    bare = simulate_xray(slab(side=40), camera, pose, replace(settings, metal=())).primary
    shadow = np.log(bare / simulate_xray(slab(side=40), camera, pose, settings).primary)
    v, u = np.mgrid[:150, :160]
    found = np.array([(shadow * u).sum(), (shadow * v).sum()]) / shadow.sum()
    # The shadow of a ball is an ellipse whose centroid misses its centre's image by far less than a tenth of a pixel.
    np.testing.assert_allclose(found, camera.project(pose[:3, :3] @ centre + pose[:3, 3]), atol=0.05)


def test_metal_paths_are_the_chords_of_balls_and_rods():
    source, along = np.zeros(3), np.array([[0.0, 0.0, 1.0], [0.0, 0.6, 0.8]])
    ball = MetalBall((0.0, 3.0, 50.0), 5.0)
    np.testing.assert_allclose(ball.path_mm(source, along), [8.0, 0.0], atol=1e-9)
    lengthwise = MetalRod((0.0, 0.0, 20.0), (0.0, 0.0, 45.0), 2.0)
    np.testing.assert_allclose(lengthwise.path_mm(source, along), [25.0, 0.0], atol=1e-6)
    across = MetalRod((-30.0, 0.0, 40.0), (30.0, 0.0, 40.0), 2.0)
    np.testing.assert_allclose(across.path_mm(source, along), [4.0, 0.0], atol=1e-9)
    slanted = MetalRod((0.0, -60.0, 40.0), (0.0, 60.0, 40.0), 2.0)
    np.testing.assert_allclose(slanted.path_mm(source, along), [4.0, 4.0 / 0.8], atol=1e-9)
    behind = MetalBall((0.0, 0.0, -50.0), 5.0)
    np.testing.assert_allclose(behind.path_mm(source, along), [0.0, 0.0])


def test_a_rod_across_the_beam_attenuates_by_its_diameter():
    settings = replace(CLEAN, metal=(MetalRod((-90.0, 0.7, 0.0), (90.0, 0.7, 0.0), 2.0, "titanium"),))
    bare = simulate_xray(slab(), CAMERA, facing(), CLEAN).primary
    image = simulate_xray(slab(), CAMERA, facing(), settings).primary
    chord = np.log(bare / image)[:, 20].max() / (mass_attenuation("titanium", 60.0) * DENSITY["titanium"]) * 10
    # The pixel ray nearest to the axis passes it at 0.03 mm: its chord is the diameter.
    assert chord == pytest.approx(4.0, rel=0.01)


@pytest.mark.parametrize("photons", [1e3, 1e4, 1e5])
def test_noise_variance_follows_the_photon_count(photons):
    settings = replace(CLEAN, photons=photons, electronic_noise=0.0, exposure=0.5)
    camera = Camera.from_sid(1000, 1.0, 100, 100)
    image = simulate_xray(slab(), camera, facing(), settings, seed=3)
    signal = image.transmission / 65535 / 0.5
    expected = image.primary / photons
    # 10 000 pixels give the variance to 1.4 % (one sigma).
    assert np.mean((signal - image.primary) ** 2) == pytest.approx(expected.mean(), rel=0.06)
    assert abs((signal - image.primary).mean()) < 4 * np.sqrt(expected.mean()) / 100


def test_electronic_noise_adds_its_own_variance():
    settings = replace(CLEAN, photons=1e4, electronic_noise=200.0, exposure=0.5)
    camera = Camera.from_sid(1000, 1.0, 100, 100)
    image = simulate_xray(slab(), camera, facing(), settings, seed=3)
    signal = image.transmission / 65535 / 0.5
    expected = (image.primary / 1e4).mean() + 0.02**2
    assert np.mean((signal - image.primary) ** 2) == pytest.approx(expected, rel=0.06)


def test_a_spectrum_is_noisier_than_its_mean_energy():
    noise = []
    for energy in (60.0, None):
        settings = replace(CLEAN, energy_kev=energy, kvp=120.0, photons=1e3, electronic_noise=0.0, exposure=0.4)
        camera = Camera.from_sid(1000, 1.0, 150, 150)
        image = simulate_xray(slab(), camera, facing(), settings, seed=5)
        noise.append(np.mean((image.transmission / 65535 / 0.4 - image.primary) ** 2) / image.primary.mean())
    # Photons of unequal energy weigh unequally: the variance grows by <E^2>/<E>^2, about 1.1 here.
    assert 1.03 < noise[1] / noise[0] < 1.3


@pytest.mark.parametrize("ratio", [0.2, 1.0])
def test_scatter_raises_the_image_by_its_ratio(ratio):
    settings = replace(CLEAN, scatter_to_primary=ratio, exposure=0.4)
    image = simulate_xray(slab(), CAMERA, facing(), settings)
    # Behind a uniform slab scatter is as uniform as the primary.
    np.testing.assert_allclose(image.transmission / 65535 / 0.4, image.primary * (1 + ratio), rtol=0.01)


def test_scatter_is_smooth_where_the_primary_has_an_edge():
    settings = replace(CLEAN, scatter_to_primary=1.0, exposure=0.4)
    image = simulate_xray(slab(side=12), CAMERA, facing(), settings)
    scatter = image.transmission / 65535 / 0.4 - image.primary
    assert np.abs(np.diff(image.primary, axis=1)).max() > 0.3
    # Sigma 40 mm is 20 pixels: an edge spread by it changes by 1/50 of its height per pixel, the primary's by half.
    assert np.abs(np.diff(scatter, axis=1)).max() < 0.05 * np.abs(np.diff(image.primary, axis=1)).max()
    assert scatter.min() >= -1e-5


def test_without_matter_nothing_scatters_and_the_image_is_at_its_exposure():
    image = simulate_xray(slab(), CAMERA, facing(-700.0), replace(CLEAN, exposure=0.8, scatter_to_primary=2.0))
    assert (image.transmission == round(0.8 * 65535)).all()


def test_the_same_seed_gives_the_same_image_and_another_seed_another():
    settings = replace(CLEAN, photons=1e4)
    first, again, other = (simulate_xray(slab(), CAMERA, facing(), settings, seed=s).transmission for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9


@pytest.mark.parametrize("shape", ["circle", "rectangle"])
def test_outside_the_collimator_the_image_is_dark(shape):
    opening = Collimator(shape, centre_px=(22.0, 15.0), size_px=(20.0, 16.0))
    settings = replace(CLEAN, collimator=opening, scatter_to_primary=0.5)
    image = simulate_xray(slab(), CAMERA, facing(), settings)
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    x, y = np.abs(u - 22.0), np.abs(v - 15.0)
    outside = (np.hypot(x / 12, y / 10) > 1) if shape == "circle" else (x > 12) | (y > 10)
    inside = (np.hypot(x / 8, y / 6) < 1) if shape == "circle" else (x < 8) & (y < 6)
    # The closed part lets 0.1 % of the beam through.
    assert image.transmission[outside].max() < 0.002 * 65535
    assert image.transmission[inside].min() > 0.3 * 65535
    assert image.valid[inside].all() and not image.valid[outside].any()


def test_a_circle_is_as_large_as_it_says():
    opening = Collimator("circle", (50.0, 50.0), (60.0, 60.0)).opening(101, 101)
    # Half-open edge pixels average out.
    assert opening.sum() == pytest.approx(np.pi * 30**2, rel=0.01)


def test_the_tone_curve_is_a_power_and_keeps_order():
    linear = simulate_xray(slab(), CAMERA, facing(), CLEAN).transmission / 65535
    curved = simulate_xray(slab(), CAMERA, facing(), replace(CLEAN, gamma=0.5)).transmission / 65535
    np.testing.assert_allclose(curved, np.sqrt(linear), atol=1e-4)


def test_overexposure_saturates_at_full_scale():
    image = simulate_xray(slab(side=12), CAMERA, facing(), replace(CLEAN, exposure=1.5))
    assert image.transmission.max() == 65535
    assert image.transmission.min() == pytest.approx(1.5 * image.primary.min() * 65535, rel=1e-3)


def test_blur_keeps_the_sum_and_lowers_the_noise():
    settings = replace(CLEAN, photons=1e4, electronic_noise=0.0, exposure=0.5)
    sharp, soft = (
        simulate_xray(slab(), CAMERA, facing(), replace(settings, blur_px=b), seed=1).transmission for b in (0.0, 1.0)
    )
    assert soft.std() < 0.5 * sharp.std()
    assert soft.mean() == pytest.approx(sharp.mean(), rel=1e-3)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"scatter_to_primary": -1.0}, "scatter_to_primary"),
        ({"photons": 0.0}, "photons"),
        ({"gamma": float("nan")}, "gamma"),
        ({"rays_per_side": 0}, "rays_per_side"),
        ({"bone_hu": (400.0, 150.0)}, "bone_hu"),
    ],
)
def test_settings_out_of_range_are_named(change, word):
    with pytest.raises(InputError, match=word):
        replace(CLEAN, **change)


def test_a_mirrored_pose_is_refused():
    with pytest.raises(InputError, match="reflection"):
        simulate_xray(slab(), CAMERA, np.diag([-1.0, 1.0, 1.0, 1.0]), CLEAN)
