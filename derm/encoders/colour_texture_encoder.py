"""The colour-texture bank as an encoder: no weights, no download."""

from derm.encoders.code_digest import code_digest
from derm.encoders.colour_texture import IMAGE_SIZE, ColourTexture, ColourTexturePooling
from derm.encoders.encoder import Encoder
from derm.encoders.params import PartParams
from derm.encoders.preprocessing import Recipe
from derm.errors import UserError

SQUARE = (IMAGE_SIZE, IMAGE_SIZE)
RECIPE = Recipe(SQUARE, "squash", SQUARE, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "down")
MODULES = (
    "images.py",
    "embedding/forward.py",
    "encoders/colour_texture.py",
    "encoders/colour_texture_encoder.py",
    "encoders/encoder.py",
    "encoders/preprocessing.py",
)


def build(params: PartParams) -> Encoder:
    """UserError if weights, an argument or another recipe are asked for: it has none, and its bins fit this one."""
    if params.weights != "none":
        raise UserError(
            f"encoder.weights is {params.weights!r}: colour-texture has no weights, set encoder.weights=none"
        )
    for key, value in (("weights_sha256", params.weights_sha256), ("revision", params.revision)):
        if value:
            raise UserError(f"encoder.{key} is {value!r}: colour-texture has no weights, leave it empty")
    if params.model_args:
        raise UserError(
            f"encoder.model_args is {params.model_args}: colour-texture takes none, make it {{}} in params.yaml"
        )
    for key in ("image_size", "resize", "interpolation", "pooling"):
        if getattr(params, key) is not None:
            raise UserError(
                f"encoder.{key} is {getattr(params, key)!r}: colour-texture has one input and pooling, set it to auto"
            )
    if params.precision != "float32":
        raise UserError(
            f"encoder.precision is {params.precision!r}: colour-texture counts in narrow bins and needs float32"
        )
    return rebuild()


def rebuild() -> Encoder:
    """The one there is."""
    maps = ColourTexture().eval()
    return Encoder(
        maps=maps,
        pooling=ColourTexturePooling().eval(),
        transform=RECIPE,
        manifest={
            "encoder": "colour-texture",
            "weights": "none",
            "transform": RECIPE.manifest(),
            "pooling": "own",
            "precision": "float32",
            "code": code_digest(MODULES),
        },
        cam_layer=maps,
        to_grid=lambda responses: responses,
        covered=RECIPE.covered,
        weights={},
    )
