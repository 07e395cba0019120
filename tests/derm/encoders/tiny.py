"""Tiny random checkpoints of the families of vision models that transformers knows, as their repositories hold them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

SIDE = 56  # pixels of the input: 4x4 patches of 14
_TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 14,
}
_LABELS = {0: "mel", 1: "nv", 2: "bcc"}
_DINO: dict[str, Any] = {key: value for key, value in _TOWER.items() if key != "intermediate_size"}
_TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "vocab_size": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def write_gemma3(folder: Path) -> Path:
    """As MedGemma: image and text model in several files, the vision tensors under `vision_tower.`, in bfloat16."""
    return _gemma3(folder, "vision_tower.")


def write_gemma3_old(folder: Path) -> Path:
    """As MedGemma was published: under `vision_tower.vision_model.`."""
    return _gemma3(folder, "vision_tower.vision_model.")


def write_siglip(folder: Path) -> Path:
    """As MedSigLIP: image and text model in one file, with an attention-pooling head."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    config = SiglipConfig(vision_config=_TOWER, text_config={**_TEXT, "projection_size": 32})
    size = {"height": SIDE, "width": SIDE}
    return _write(folder, SiglipModel, config, SiglipImageProcessorPil(size=size, resample=2))


def write_siglip_vision(folder: Path) -> Path:
    """SigLIP's vision tower alone, under the older names with `vision_model.`."""
    from transformers import SiglipImageProcessorPil, SiglipVisionConfig, SiglipVisionModel

    size = {"height": SIDE, "width": SIDE}
    _write(folder, SiglipVisionModel, SiglipVisionConfig(**_TOWER), SiglipImageProcessorPil(size=size))
    state = load_file(folder / "model.safetensors")
    save_file({f"vision_model.{name}": tensor for name, tensor in state.items()}, folder / "model.safetensors")
    return folder


def write_dinov2(folder: Path) -> Path:
    """A class token, and a position embedding that is fitted to the image."""
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    return _write(folder, Dinov2Model, Dinov2Config(**_DINO), BitImageProcessorPil(**_bit()))


def write_dinov2_registers(folder: Path) -> Path:
    """A class token and four registers."""
    from transformers import BitImageProcessorPil, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    config = Dinov2WithRegistersConfig(**_DINO, num_register_tokens=4)
    return _write(folder, Dinov2WithRegistersModel, config, BitImageProcessorPil(**_bit()))


def write_dinov3(folder: Path) -> Path:
    """A class token, four registers and rotary positions."""
    from transformers import DINOv3ViTConfig, DINOv3ViTImageProcessor, DINOv3ViTModel

    config = DINOv3ViTConfig(**_TOWER, num_register_tokens=4)
    return _write(folder, DINOv3ViTModel, config, DINOv3ViTImageProcessor(size={"height": SIDE, "width": SIDE}))


def write_vit(folder: Path) -> Path:
    """An ImageNet classifier: its classifier is left over, and no pooler has weights."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    size = {"height": SIDE, "width": SIDE}
    return _write(
        folder, ViTForImageClassification, ViTConfig(**_TOWER, id2label=_LABELS), ViTImageProcessorPil(size=size)
    )


def write_clip(folder: Path) -> Path:
    """Image and text model; the final norm is for the class token alone."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return _write(folder, CLIPModel, CLIPConfig(vision_config=_TOWER, text_config=_TEXT), processor)


def write_convnext(folder: Path) -> Path:
    """A convolutional network: maps of four dimensions."""
    from transformers import ConvNextConfig, ConvNextForImageClassification, ConvNextImageProcessorPil

    config = ConvNextConfig(hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1], id2label=_LABELS, image_size=64)
    processor = ConvNextImageProcessorPil(size={"shortest_edge": 64}, crop_pct=0.875)
    return _write(folder, ConvNextForImageClassification, config, processor)


def write_resnet(folder: Path) -> Path:
    """A convolutional network with running means and deviations."""
    from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1], id2label=_LABELS)
    processor = ConvNextImageProcessorPil(size={"shortest_edge": 64}, crop_pct=0.875)
    return _write(folder, ResNetForImageClassification, config, processor)


FAMILIES = {
    "gemma3": write_gemma3,
    "gemma3-old": write_gemma3_old,
    "siglip": write_siglip,
    "siglip-vision": write_siglip_vision,
    "dinov2": write_dinov2,
    "dinov2-registers": write_dinov2_registers,
    "dinov3": write_dinov3,
    "vit": write_vit,
    "clip": write_clip,
    "convnext": write_convnext,
    "resnet": write_resnet,
}


def _bit() -> dict[str, Any]:
    return {"size": {"shortest_edge": 64}, "crop_size": {"height": SIDE, "width": SIDE}}


def _gemma3(folder: Path, prefix: str) -> Path:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3ImageProcessorPil

    text = {**_TEXT, "num_key_value_heads": 1, "head_dim": 16}
    config = Gemma3Config(vision_config={**_TOWER, "vision_use_head": False}, text_config=text, mm_tokens_per_image=4)
    processor = Gemma3ImageProcessorPil(size={"height": SIDE, "width": SIDE})
    _write(folder, Gemma3ForConditionalGeneration, config, processor)
    whole = folder / "model.safetensors"
    state = {
        name.replace("vision_tower.", prefix): tensor.to(torch.bfloat16) for name, tensor in load_file(whole).items()
    }
    whole.unlink()
    vision = sorted(name for name in state if name.startswith(prefix))
    others = sorted(set(state) - set(vision))
    # As the hub's: the vision tensors lie in two of the three files, one of which holds text as well.
    files = [vision[:20], vision[20:] + others[:3], others[3:]]
    index: dict[str, str] = {}
    for number, names in enumerate(files, 1):
        file = f"model-{number:05d}-of-{len(files):05d}.safetensors"
        save_file({name: state[name] for name in names}, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(names, file)
    content = json.dumps({"metadata": {"total_size": 0}, "weight_map": index}, indent=2)
    (folder / "model.safetensors.index.json").write_text(content, encoding="utf-8")
    return folder


def _write(folder: Path, kind: Any, config: Any, processor: Any) -> Path:
    """Weights as large as trained ones: transformers' own first weights are so small that a wrong one hardly shows."""
    from derm.encoders.quiet import quiet_transformers

    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = kind(config)
        for name, tensor in model.named_parameters():
            with torch.no_grad():
                tensor.add_(0.1 * torch.randn_like(tensor))
                if "layerscale" in name or "layer_scale" in name:
                    tensor.fill_(0.5)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder
