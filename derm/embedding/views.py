"""Named views of a photograph: the same lesion, turned, mirrored or cut closer; for training and for averages."""

from PIL import Image

IDENTITY = "identity"
_TURNED = {
    "flip_horizontal": Image.Transpose.FLIP_LEFT_RIGHT,
    "flip_vertical": Image.Transpose.FLIP_TOP_BOTTOM,
    "rotate_180": Image.Transpose.ROTATE_180,
    "rotate_90": Image.Transpose.ROTATE_90,  # counterclockwise, as Pillow and numpy turn
    "rotate_270": Image.Transpose.ROTATE_270,
    "transpose": Image.Transpose.TRANSPOSE,
    "transverse": Image.Transpose.TRANSVERSE,
}
# Percent of each side that a centred crop keeps.
_CROPPED = {f"crop_{kept}": kept for kept in (95, 90, 85, 80, 75, 70, 65, 60)}
VIEWS = (IDENTITY, *_TURNED, *_CROPPED)


def view_names(count: int) -> tuple[str, ...]:
    """The first `count` of the 16 views: the photograph as it is, the other seven of its symmetries, crops."""
    return VIEWS[:count]


def apply_view(image: Image.Image, view: str) -> Image.Image:
    """One view of an upright image. A crop keeps at least one pixel; an odd margin is larger at the right and below."""
    if view == IDENTITY:
        return image
    if view in _TURNED:
        return image.transpose(_TURNED[view])
    width, height = (max(1, round(side * _CROPPED[view] / 100)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
