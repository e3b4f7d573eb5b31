"""Fast Fourier convolution (Chi et al., NeurIPS 2020): part of the channels is mixed over the whole image at once.

The global branch of the correlation-driven network is one residual block of it (Chen et al., ISBI 2024; methods.md A3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Share of the channels that is mixed in the frequency domain, as in image completion (Suvorov et al., WACV 2022).
GLOBAL_SHARE = 0.75


class SpectralMixing(nn.Module):
    """A 1 x 1 convolution of real and imaginary parts in the frequency domain, between two in the image.

    (B, before, H, W) to (B, after, H, W). GELU, where ReLU would have no second derivative.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        inner = max(1, after // 2)
        self.enter = nn.Sequential(nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.GELU())
        self.frequencies = nn.Sequential(
            nn.Conv2d(2 * inner, 2 * inner, 1, bias=False), nn.BatchNorm2d(2 * inner), nn.GELU()
        )
        self.leave = nn.Conv2d(inner, after, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Mixed features (B, after, H, W)."""
        inside = self.enter(features)
        spectrum = torch.fft.rfft2(inside, norm="ortho")
        real, imaginary = self.frequencies(torch.cat([spectrum.real, spectrum.imag], dim=1)).chunk(2, dim=1)
        mixed = torch.fft.irfft2(torch.complex(real, imaginary), s=inside.shape[-2:], norm="ortho")
        out: Tensor = self.leave(inside + mixed)
        return out


def _near(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect", bias=False)


class FourierConvolution(nn.Module):
    """Local and global channels, each computed from both: 3 x 3 convolutions; spectral mixing from global to global."""

    def __init__(self, local: int, spread: int) -> None:
        """local, spread: numbers of channels with a local receptive field, and with a global one."""
        super().__init__()
        self.local_from_local, self.local_from_spread = _near(local, local), _near(spread, local)
        self.spread_from_local, self.spread_from_spread = _near(local, spread), SpectralMixing(spread, spread)
        self.local_norm, self.spread_norm = nn.BatchNorm2d(local), nn.BatchNorm2d(spread)

    def forward(self, local: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """New local and global features of the same shapes."""
        near = self.local_from_local(local) + self.local_from_spread(spread)
        far = self.spread_from_local(local) + self.spread_from_spread(spread)
        return nn.functional.gelu(self.local_norm(near)), nn.functional.gelu(self.spread_norm(far))


class FourierBlock(nn.Module):
    """Two Fourier convolutions with a residual connection; features (B, C, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread = round(GLOBAL_SHARE * channels)
        self.first = FourierConvolution(channels - self.spread, self.spread)
        self.second = FourierConvolution(channels - self.spread, self.spread)

    def forward(self, features: Tensor) -> Tensor:
        """The block's output (B, C, H, W)."""
        local, spread = features.split([features.shape[1] - self.spread, self.spread], dim=1)
        return features + torch.cat(self.second(*self.first(local, spread)), dim=1)
