"""Numbers published by others, for tables in which ours are measured in the same way (methods.md E3)."""

from __future__ import annotations

from dataclasses import dataclass

ELSEWHERE = "published elsewhere, on other data"


@dataclass(frozen=True)
class Published:
    """One row of a published table.

    arms: the arms with the same pose distribution, none if it is not known. best: mean and standard deviation
    [mm] over the best 95, 75 and 50 % of the cases, by the far lever. far_sr10: share [%] below 10 mm by the far lever;
    sr10, gfr: below and above 10 mm mTRE; median_mm: of mTRE; sr_1deg: share [%] with a rotation error below 1 degree.
    Empty or None if not published.
    """

    method: str
    source: str
    arms: tuple[str, ...]
    best: tuple[tuple[float, float | None], ...] = ()
    far_sr10: float | None = None
    sr10: float | None = None
    gfr: float | None = None
    median_mm: float | None = None
    sr_1deg: float | None = None
    seconds: float | None = None


CHEN, PROST = "Chen et al., ISBI 2024, Table 1", "Gao et al., IEEE TMI 43(1), 2024, simulated pelvis"
CMAREG = "CMAREG, its authors' page"
_CHEN_ARMS, _DEEPFLUORO = ("C-A", "C-B"), ("DeepFluoro",)

PUBLISHED = (
    Published("Start", CHEN, _CHEN_ARMS, ((225.7, 89.7), (188.6, 64.5), (148.0, 47.3))),
    Published("CMA-ES", CHEN, _CHEN_ARMS, ((98.6, 98.6), (55.7, 49.9), (24.2, 14.7)), far_sr10=22.0),
    Published("ProST", CHEN, _CHEN_ARMS, ((185.7, None), (151.2, None), (114.3, None))),
    Published("ProST + CMA-ES", CHEN, _CHEN_ARMS, ((38.3, None), (12.8, None), (2.6, None)), far_sr10=55.6),
    Published("SOPI", CHEN, _CHEN_ARMS, ((163.6, None), (133.1, None), (101.3, None))),
    Published("SOPI + CMA-ES", CHEN, _CHEN_ARMS, ((34.7, None), (9.1, None), (2.2, None)), far_sr10=58.4),
    Published("Chen et al.", CHEN, _CHEN_ARMS, ((155.7, None), (127.2, None), (95.1, None))),
    Published("Chen et al. + CMA-ES", CHEN, _CHEN_ARMS, ((32.0, None), (7.9, None), (2.2, 0.9)), far_sr10=61.0),
    Published("Start (CMAREG)", CMAREG, (), ((205.8, None), (172.1, None), (135.1, None))),
    Published("CMA-ES (CMAREG)", CMAREG, (), ((31.7, None), (8.4, None), (5.4, None)), 49.4, seconds=21.2),
    Published("CMA-ES", PROST, ("P-A",), sr10=28.5),
    Published("ProST + CMA-ES", PROST, ("P-A",), sr10=65.6, median_mm=4.4),
    Published("xvr", "FleXray, 2026, 213 frames", _DEEPFLUORO, gfr=7.0, median_mm=1.01),
    Published("xvr + Chamfer", "FleXray, 2026, 213 frames", _DEEPFLUORO, gfr=3.3, median_mm=1.04),
    Published("DiffDRR", "DDGS-CT, NeurIPS 2024", ("Ljubljana",), median_mm=0.72),
    Published("DDGS-CT", "DDGS-CT, NeurIPS 2024", ("Ljubljana",), median_mm=0.65),
    Published("xReg with landmarks", "Grupp et al., IPCAI 2020, 366 images", _DEEPFLUORO, sr_1deg=86.0, seconds=7.0),
)


def published_for(arm: str) -> tuple[Published, ...]:
    """Published rows for an arm's distribution or dataset, by the arm's name."""
    return tuple(line for line in PUBLISHED if arm.casefold() in [name.casefold() for name in line.arms])


def published_line(method: str, source: str) -> Published:
    """The row of that method in a source's table; raises KeyError if there is none."""
    for line in PUBLISHED:
        if (line.method, line.source) == (method, source):
            return line
    raise KeyError(f"{method}, {source}")
