"""The default encoder: a fixed bank of opponent-colour, soft-histogram and oriented multi-scale filters.

No weights, no download, no random numbers: every constant follows from a closed formula below. The bank is split in
two so that Grad-CAM works on it as on any CNN: `ColourTexture` gives non-negative maps, each of which answers
"how much of this is here?", and `ColourTexturePooling` summarises them in numbers and sees nothing but the maps.

- Colour: soft histograms of red, green and blue, of two opponent colours (van de Sande, Gevers and Snoek, "Evaluating
  color descriptors for object and scene recognition", TPAMI 2010), and of the colour relative to the surrounding
  skin, which cancels lamp and skin tone (Umbaugh, Moss and Stoecker, "Automatic color segmentation of images with
  application to detection of variegated coloring in skin tumors", IEEE EMB Magazine 1989). Triangular bins make a
  histogram differentiable (Wang et al., "Learnable histogram", ECCV 2016).
- Texture: first and second Gaussian derivatives on a pyramid of five scales. They are steerable (Freeman and Adelson,
  "The design and use of steerable filters", TPAMI 1991), so the strongest response over *all* orientations has a
  closed form: the gradient's length and the Hessian's eigenvalues (Lindeberg, "Edge detection and ridge detection
  with automatic scale selection", IJCV 1998). Nothing depends on how the dermatoscope was held.
- Spread of texture: soft histograms of log energies, because a few strong lines and a faint texture everywhere can
  have one mean (histograms of filter responses: Leung and Malik, "Representing and recognizing the visual appearance
  of materials using three-dimensional textons", IJCV 2001).
- Place: means in three concentric windows (dermatoscopic lesions are centred), and for energies the standard
  deviation over the image. Square roots of histogram means (Perronnin, Sanchez and Mensink, "Improving the Fisher
  kernel", ECCV 2010) and logarithms of energies let a linear head tell "none" from "a little".

Images are squashed to 128x128 (bilinear, antialiased) and scaled to [0, 1]; no mean or standard deviation is
subtracted, because the ranges of the bins are stated in plain RGB.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

IMAGE_SIZE = 128

GRID = 32  # side of the maps: one cell is 4x4 pixels of the image
SCALES = 5  # pyramid levels; Gaussian width 1, 2, 4, 8 and 16 pixels of the image
HISTOGRAM_SCALES = 4  # at the coarsest level 8x8 pixels are too few for a histogram
SIGMA = 1.0  # of the Gaussian, in pixels of its pyramid level
RADIUS = 3  # of the kernels: three sigma
LOG_OFFSET = 0.03  # keeps the logarithm finite, and sensor noise in black pixels small
ENERGY_OFFSET = 0.005  # as above, for log energies
ROOT_OFFSET = 1e-6  # keeps the slope of a length finite at zero
POOLED_HISTOGRAM_OFFSET = 1e-4  # keeps the slope of a pooled histogram's square root finite at zero
POOLED_ENERGY_OFFSET = 1e-3  # keeps a pooled energy's logarithm finite: about the energy of sensor noise

# (lowest centre, highest centre, bins); outside values count in the end bins
RGB_BINS = (0.05, 0.98, 10)
OPPONENT_BINS = ((-0.07, 0.36, 10), (-0.08, 0.33, 10))  # red-green, yellow-blue: skin is never green or blue
RELATIVE_BINS = (
    (-2.8, 0.5, 12),
    (-0.35, 0.5, 12),
    (-0.57, 0.57, 12),
)  # log intensity, red-green, yellow-blue
ENERGY_BINS = (-5.0, -0.2, 6)

COLOUR_CHANNELS = 3 * RGB_BINS[2] + sum(bins for _, _, bins in OPPONENT_BINS + RELATIVE_BINS)
HISTOGRAM_CHANNELS = COLOUR_CHANNELS + HISTOGRAM_SCALES * 3 * ENERGY_BINS[2]
ENERGY_CHANNELS = SCALES * 4 * 3
CHANNELS = HISTOGRAM_CHANNELS + ENERGY_CHANNELS
WINDOWS = 3
DIMENSION = WINDOWS * CHANNELS + ENERGY_CHANNELS


class ColourTexture(torch.nn.Module):
    """RGB images, float32 [B, 3, 128, 128] in [0, 1] -> response maps, float32 [B, CHANNELS, 32, 32], all >= 0.

    Channels in order: colour histograms (red, green, blue, red-green, yellow-blue, then the same three opponent parts
    relative to the skin), energy histograms (scale by scale: edges, dark lines, bright lines of the intensity),
    energies (scale by scale: edges, dark lines, bright lines, anisotropy, each in intensity, red-green, yellow-blue).
    The bins of one histogram add up to 1 in every cell.
    """

    derivatives: Tensor
    border: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("derivatives", _gaussian_derivatives())
        self.register_buffer("border", _border_weights(IMAGE_SIZE // 2))

    def forward(self, images: Tensor) -> Tensor:
        half = functional.avg_pool2d(images, 2)  # histograms of colour need no more, and cost a quarter
        parts = [*half.split(1, 1), *opponent(half)[1:], *self._relative(half)]
        bins = [RGB_BINS] * 3 + [*OPPONENT_BINS, *RELATIVE_BINS]
        colour = [_to_grid(soft_histogram(part, ranges)) for part, ranges in zip(parts, bins, strict=True)]
        histograms, energies = self._texture(torch.cat(opponent(torch.log(images + LOG_OFFSET)), 1))
        return torch.cat([*colour, *histograms, *energies], 1)

    def _relative(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Opponent parts of log RGB minus log RGB of the skin: float32 [B, 1, h, w] each, 0 where it looks like skin.

        The skin is the mean over the border of the frame, where bright pixels count more: hairs, vignettes and lesions
        that reach the border are darker than skin.
        """
        weight = self.border * images.mean(1, keepdim=True) ** 4
        logs = torch.log(images + LOG_OFFSET)
        skin = (logs * weight).sum((2, 3), keepdim=True) / (weight.sum((2, 3), keepdim=True) + 1e-4)
        return opponent(logs - skin)

    def _texture(self, level: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Log opponent image, float32 [B, 3, H, W] -> histograms and energies of each scale, on the grid.

        Working on logarithms makes a lamp of half the power a shift, which every derivative ignores. Responses are per
        pixel of their own level: the scale normalisation that lets a pattern peak at its own scale.
        """
        histograms, energies = [], []
        for scale in range(SCALES):
            edges, dark, bright, anisotropy = self._energies(level)
            energies += [_to_grid(energy) for energy in (edges, dark, bright, anisotropy)]
            if scale < HISTOGRAM_SCALES:
                for energy in (edges, dark, bright):
                    logs = torch.log(energy[:, :1] + ENERGY_OFFSET)
                    histograms.append(_to_grid(soft_histogram(logs, ENERGY_BINS)))
            level = functional.avg_pool2d(level, 2)
        return histograms, energies

    def _energies(self, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """float32 [B, 3, H, W] -> edges, dark lines, bright lines, anisotropy: [B, 3, H, W] each, >= 0."""
        batch, colours, height, width = level.shape
        padded = functional.pad(level, (RADIUS,) * 4, mode="reflect").flatten(0, 1).unsqueeze(1)
        responses = functional.conv2d(padded, self.derivatives).view(batch, colours, 5, height, width)
        x, y, xx, yy, xy = responses.unbind(2)
        mean = (xx + yy) / 2  # the Hessian's eigenvalues are mean + spread and mean - spread
        spread = _length((xx - yy) / 2, xy)
        return _length(x, y), functional.relu(spread + mean), functional.relu(spread - mean), spread


class ColourTexturePooling(torch.nn.Module):
    """Response maps, float32 [B, CHANNELS, 32, 32] -> numbers, float32 [B, DIMENSION], between -7 and 7.

    In order: square roots of the histograms' means in each window (centre, ring, surround), logarithms of the
    energies' means in each window, logarithms of the energies' standard deviations over the image.
    """

    windows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("windows", _concentric_windows(GRID))

    def forward(self, maps: Tensor) -> Tensor:
        means = torch.stack([(maps * window).sum((2, 3)) for window in self.windows], 2)
        histograms, energies = means[:, :HISTOGRAM_CHANNELS], means[:, HISTOGRAM_CHANNELS:]
        textures = maps[:, HISTOGRAM_CHANNELS:]
        variance = (textures - textures.mean((2, 3), keepdim=True)).square().mean((2, 3))
        return torch.cat(
            [
                torch.sqrt(histograms + POOLED_HISTOGRAM_OFFSET).flatten(1),
                torch.log(energies + POOLED_ENERGY_OFFSET).flatten(1),
                torch.log(torch.sqrt(variance + ROOT_OFFSET) + POOLED_ENERGY_OFFSET),
            ],
            1,
        )


def opponent(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """RGB, [B, 3, H, W] -> intensity, red-green, yellow-blue, [B, 1, H, W] each: an orthonormal turn of RGB."""
    red, green, blue = images.split(1, 1)
    intensity = (red + green + blue) / math.sqrt(3)
    return intensity, (red - green) / math.sqrt(2), (red + green - 2 * blue) / math.sqrt(6)


def soft_histogram(values: Tensor, bins: tuple[float, float, int]) -> Tensor:
    """[B, 1, H, W] -> [B, bins, H, W]: each value shared between the two nearest bin centres, in all 1."""
    lowest, highest, count = bins
    step = (highest - lowest) / (count - 1)
    position = ((values - lowest) / step).clamp(0, count - 1)
    centres = torch.arange(count, dtype=values.dtype, device=values.device).view(1, count, 1, 1)
    return functional.relu(1 - (position - centres).abs())


def _length(a: Tensor, b: Tensor) -> Tensor:
    """The length of the vector (a, b), 0 at 0, with a finite slope there."""
    return torch.sqrt(a * a + b * b + ROOT_OFFSET) - math.sqrt(ROOT_OFFSET)


def _to_grid(maps: Tensor) -> Tensor:
    """[B, C, h, w] -> [B, C, GRID, GRID]: means over cells, or each pixel repeated where a level is coarser."""
    side = maps.shape[-1]
    if side >= GRID:
        return functional.avg_pool2d(maps, side // GRID)
    return functional.interpolate(maps, scale_factor=GRID // side, mode="nearest")


def _gaussian_derivatives() -> Tensor:
    """Kernels of d/dx, d/dy, d2/dx2, d2/dy2, d2/dxdy: float32 [5, 1, 7, 7].

    Sampled, then scaled so that the ramps x and x*x/2 give exactly 1, and a constant exactly 0.
    """
    x = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    smooth = torch.exp(-(x**2) / (2 * SIGMA**2))
    smooth = smooth / smooth.sum()
    first = x * smooth / (x**2 * smooth).sum()
    second = (x**2 - (x**2 * smooth).sum()) * smooth
    second = second / (second * x**2 / 2).sum()
    pairs = (
        (smooth, first),
        (first, smooth),
        (smooth, second),
        (second, smooth),
        (first, first),
    )  # (down, along)
    return torch.stack([torch.outer(down, along) for down, along in pairs]).unsqueeze(1).float()


def _border_weights(side: int) -> Tensor:
    """1 in the outer tenth of the frame, 0 inside, with a short ramp: float32 [side, side]."""
    distance = _centred(side).abs()
    return ((torch.maximum(distance[None], distance[:, None]) - 0.85) / 0.05).clamp(0, 1).float()


def _concentric_windows(side: int) -> Tensor:
    """Centre, ring and surround: float32 [3, side, side], each adding up to 1.

    Triangular in the distance from the centre (1 = middle of an edge), as the histograms are in value: before they are
    normalised, the three add up to 1 everywhere.
    """
    axis = _centred(side)
    distance = torch.hypot(axis[None], axis[:, None])
    position = ((distance - 0.1) / 0.4).clamp(0, 2)
    windows = (1 - (position - torch.arange(3, dtype=torch.float64).view(3, 1, 1)).abs()).clamp(min=0)
    return (windows / windows.sum((1, 2), keepdim=True)).float()


def _centred(side: int) -> Tensor:
    """Pixel centres from -1 (one edge of the frame) to 1 (the other): float64 [side]."""
    return (torch.arange(side, dtype=torch.float64) + 0.5) * 2 / side - 1
