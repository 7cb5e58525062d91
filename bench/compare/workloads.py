"""The models and operations that are compared, as PyTorch modules; the same go to ONNX Runtime and to the library."""

import sys
import warnings
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "weights"), str(ROOT / "tests/parity")]

from full_size import torchvision_model, yolov3_tiny  # noqa: E402
from qcnet_train import safetensors  # noqa: E402

# name: side of the picture
MODELS = {"resnet50": 224, "vit_b_16": 224, "convnext_tiny": 224, "yolov3_tiny": 416}


class SelfAttention(nn.MultiheadAttention):
    def forward(self, tokens):
        return super().forward(tokens, tokens, tokens, need_weights=False)[0]


# name: (one layer, shape of its input, how many of them behind each other make a run: what takes a few
# microseconds is not to be measured together with the call)
OPERATIONS = {
    "conv3x3-64-56": (lambda: nn.Conv2d(64, 64, 3, padding=1), (1, 64, 56, 56), 8),
    "conv1x1-256-64-56": (lambda: nn.Conv2d(256, 64, 1), (1, 256, 56, 56), 1),
    "conv3x3-256-14": (lambda: nn.Conv2d(256, 256, 3, padding=1), (1, 256, 14, 14), 8),
    "depthwise7x7-96-56": (lambda: nn.Conv2d(96, 96, 7, padding=3, groups=96), (1, 96, 56, 56), 16),
    "linear-768-3072": (lambda: nn.Linear(768, 3072), (1, 197, 768), 1),
    "attention-768": (lambda: SelfAttention(768, 12, batch_first=True), (1, 197, 768), 1),
    "layer-norm-768": (lambda: nn.LayerNorm(768, eps=1e-6), (1, 197, 768), 32),
    "gelu-3072": (nn.GELU, (1, 197, 3072), 16),
}


def input_of(name):
    """(shape of the input, repeats in a run)."""
    return ((1, 3, MODELS[name], MODELS[name]), 1) if name in MODELS else OPERATIONS[name][1:]


def make(name):
    """The module, in eval mode."""
    torch.manual_seed(1)
    if name in MODELS:
        return yolov3_tiny() if name == "yolov3_tiny" else torchvision_model(name)
    layer, _, repeats = OPERATIONS[name]
    return nn.Sequential(*(layer() for _ in range(repeats))).eval()


def export(name, folder):
    """<name>.onnx and, of a model, <name>.safetensors in `folder`, unless they are there."""
    path = folder / f"{name}.onnx"
    if path.exists():
        return path
    module, shape = make(name), input_of(name)[0]
    if name in MODELS:
        safetensors.save(path.with_suffix(".safetensors"),
                         {key: value.numpy() for key, value in module.state_dict().items()}, {})
    # Parameters that want gradients keep attention off PyTorch's fused path, which has no ONNX operator.
    warnings.simplefilter("ignore")  # of the exporter, about what it leaves to the runtime
    torch.onnx.export(module.requires_grad_(True), torch.randn(shape), path.with_suffix(".part"), opset_version=17)
    path.with_suffix(".part").rename(path)
    return path
