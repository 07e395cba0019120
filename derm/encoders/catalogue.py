"""Encoders worth knowing: how large, on what terms, trained on what, and which test sets they may have seen.

Whatever else timm or transformers can load works by its name too. Sizes, dimensions and resolutions are compared with
the architectures by a test; terms and training data are what the publishers say, at the sources named.
"""

import textwrap
from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True)
class Entry:
    """One encoder.

    parameters: of the vision tower, in millions. dimension: of its pooled features. pixels: side of its input.
    terms: under which its weights may be used. gated: whether they must be accepted first.
    trained_on: as its publisher says. overlap: what is known of test sets that it has seen; '' if there can be none.
    source: where that is said.
    """

    name: str
    parameters: float
    dimension: int
    pixels: int
    terms: str
    gated: bool
    trained_on: str
    overlap: str
    source: str


HEALTH_TERMS = "Health AI Developer Foundations terms of use"
MEDGEMMA_DATA = (
    "image-text pairs: the web (WebLI), and medical ones with 2 % of the weight, among them 51,049 internal "
    "dermatology images and PAD-UFES-20"
)
MEDGEMMA_OVERLAP = (
    "has SEEN PAD-UFES-20 (2,047 images) and SCIN: no external test sets for it. HAM10000 and ISIC are not on the "
    "published list; the internal dermatology images are not disclosed"
)
MEDGEMMA_SOURCE = "MedGemma technical report, arXiv 2507.05201, table 1; MedSigLIP fine-tuning notebook for SCIN"
WEB = "not published; photographs of ISIC and HAM10000 stand on the web"
IMAGENET = "ImageNet has no dermatoscopic class"
DINOV2 = "142 million curated web images without labels (LVD-142M)"
DINOV3 = "1,689 million web images without labels (LVD-1689M)"

CATALOGUE = (
    Entry(
        name="colour-texture",
        parameters=0,
        dimension=714,
        pixels=128,
        terms="MIT, with this repository",
        gated=False,
        trained_on="nothing: a fixed bank of filters",
        overlap="",
        source="derm/encoders/colour_texture.py",
    ),
    Entry(
        name="simple-cnn",
        parameters=3.3,
        dimension=256,
        pixels=224,
        terms="MIT, with this repository",
        gated=False,
        trained_on="nothing: random weights, for adapt.method=scratch",
        overlap="",
        source="derm/encoders/simple_cnn.py",
    ),
    Entry(
        name="medgemma-4b",
        parameters=416.9,
        dimension=1152,
        pixels=896,
        terms=HEALTH_TERMS,
        gated=True,
        trained_on=MEDGEMMA_DATA,
        overlap=MEDGEMMA_OVERLAP,
        source=MEDGEMMA_SOURCE,
    ),
    Entry(
        name="medsiglip-448",
        parameters=428.6,
        dimension=1152,
        pixels=448,
        terms=HEALTH_TERMS,
        gated=True,
        trained_on=MEDGEMMA_DATA,
        overlap=MEDGEMMA_OVERLAP,
        source=MEDGEMMA_SOURCE,
    ),
    *(
        Entry(
            name=f"hf/facebook/dinov2-{size}",
            parameters=parameters,
            dimension=dimension,
            pixels=224,
            terms="Apache-2.0",
            gated=False,
            trained_on=DINOV2,
            overlap=WEB,
            source="arXiv 2304.07193",
        )
        for size, parameters, dimension in (("small", 22.1, 384), ("base", 86.6, 768), ("large", 304.4, 1024))
    ),
    *(
        Entry(
            name=f"hf/facebook/dinov3-{size}-pretrain-lvd1689m",
            parameters=parameters,
            dimension=dimension,
            pixels=224,
            terms="DINOv3 licence",
            gated=True,
            trained_on=DINOV3,
            overlap=WEB,
            source="arXiv 2508.10104",
        )
        for size, parameters, dimension in (("vits16", 21.6, 384), ("vitb16", 85.6, 768), ("vitl16", 303.1, 1024))
    ),
    Entry(
        name="hf/google/siglip2-so400m-patch14-384",
        parameters=428.2,
        dimension=1152,
        pixels=384,
        terms="Apache-2.0",
        gated=False,
        trained_on="image-text pairs of the web (WebLI)",
        overlap=WEB,
        source="arXiv 2502.14786",
    ),
    Entry(
        name="hf/openai/clip-vit-large-patch14",
        parameters=303.2,
        dimension=1024,
        pixels=224,
        terms="MIT",
        gated=False,
        trained_on="400 million image-text pairs of the web, not disclosed",
        overlap=WEB,
        source="arXiv 2103.00020",
    ),
    Entry(
        name="hf/google/vit-base-patch16-224-in21k",
        parameters=85.8,
        dimension=768,
        pixels=224,
        terms="Apache-2.0",
        gated=False,
        trained_on="ImageNet-21k",
        overlap=IMAGENET,
        source="arXiv 2010.11929",
    ),
    Entry(
        name="timm/mobilenetv2_100",
        parameters=2.2,
        dimension=1280,
        pixels=224,
        terms="Apache-2.0",
        gated=False,
        trained_on="ImageNet-1k",
        overlap=IMAGENET,
        source="timm's page of the weights",
    ),
    Entry(
        name="timm/resnet50",
        parameters=23.5,
        dimension=2048,
        pixels=224,
        terms="Apache-2.0",
        gated=False,
        trained_on="ImageNet-1k",
        overlap=IMAGENET,
        source="timm's page of the weights",
    ),
    Entry(
        name="timm/vit_small_patch14_dinov2",
        parameters=22.1,
        dimension=384,
        pixels=518,
        terms="Apache-2.0",
        gated=False,
        trained_on=DINOV2,
        overlap=WEB,
        source="arXiv 2304.07193",
    ),
)


def known(name: str) -> Entry | None:
    """The entry of an encoder, None if the catalogue has none."""
    return next((entry for entry in CATALOGUE if entry.name == name), None)


def listing() -> str:
    """The catalogue as text: a line of numbers and terms, and what each was trained on."""
    width = max(len(entry.name) for entry in CATALOGUE)
    wrap = partial(textwrap.wrap, width=120, initial_indent="    ", subsequent_indent="        ")
    lines = [f"{'name':{width}}  parameters  numbers  pixels  terms"]
    for entry in CATALOGUE:
        size = f"{entry.parameters:.1f} M" if entry.parameters else "none"
        gate = " (to be accepted first)" if entry.gated else ""
        lines += [
            f"{entry.name:{width}}  {size:>10}  {entry.dimension:>7}  {entry.pixels:>6}  {entry.terms}{gate}",
            *wrap(f"trained on {entry.trained_on}  [{entry.source}]"),
        ]
        if entry.overlap:
            lines += wrap(f"known overlap with test sets: {entry.overlap}")
    return "\n".join(lines)


def timm_models(pattern: str) -> list[str]:
    """Names of timm's models with pretrained weights that fit a pattern such as `*dinov3*`, as `encoder.name` takes
    them."""
    import timm

    return [f"timm/{name}" for name in timm.list_models(pattern, pretrained=True)]
