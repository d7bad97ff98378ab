"""Trains a small CNN on scikit-learn's digits and writes examples/digits/, for the README's first run."""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))
import weigh

EPOCHS = 20
SEED = 0
ACCURACY = 0.98
EXAMPLES = Path(__file__).parents[2] / "examples" / "digits"

README = """# digits

A convolutional network (three convolutions with BatchNorm, one linear layer) that reads the 8x8 handwritten digits
which scikit-learn bundles: {accuracy:.1%} of the {tests} test images right. `make digits` trains it anew with
`tests/generate/digits.py`: PyTorch {torch}, CPU, a fixed seed, {epochs} epochs of Adam.

| file | what it is |
|---|---|
| `digits.pth` | `torch.save(model.state_dict())` |
| `digits-checkpoint.pth` | a checkpoint: `epoch`, `state_dict`, `optimizer`, `accuracy`, `args` |
| `digits.safetensors` | the same tensors |
| `digits.onnx` | `torch.onnx.export`, which folds the BatchNorms; onnxruntime gives the same outputs |
| `digits.prototxt`, `digits.caffemodel` | the same net for Caffe, its weights written by `weigh convert --into` |

The digits come from the UCI Machine Learning Repository: Optical Recognition of Handwritten Digits, E. Alpaydin and
C. Kaynak, 1998.
"""


def prototxt():
    """The same network in Caffe's layers."""

    def layer(name, kind, bottom, top, settings=""):
        bottom = f' bottom: "{bottom}"' if bottom else ""
        return f'layer {{ name: "{name}" type: "{kind}"{bottom} top: "{top}"{settings} }}\n'

    text = 'name: "digits"\n'
    text += layer("image", "Input", "", "image", " input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } }")
    bottom = "image"
    for i, channels in enumerate((16, 32, 64), 1):
        settings = f" convolution_param {{ num_output: {channels} kernel_size: 3 pad: 1 bias_term: false }}"
        text += layer(f"conv{i}", "Convolution", bottom, f"conv{i}", settings)
        text += layer(f"bn{i}", "BatchNorm", f"conv{i}", f"bn{i}")
        text += layer(f"scale{i}", "Scale", f"bn{i}", f"scale{i}", " scale_param { bias_term: true }")
        text += layer(f"relu{i}", "ReLU", f"scale{i}", f"scale{i}")
        bottom = f"scale{i}"
        if i > 1:
            text += layer(f"pool{i}", "Pooling", bottom, f"pool{i}", " pooling_param { kernel_size: 2 stride: 2 }")
            bottom = f"pool{i}"
    return text + layer("fc", "InnerProduct", bottom, "logits", " inner_product_param { num_output: 10 }")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)
        self.conv3, self.bn3 = nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.fc = nn.Linear(256, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = nn.functional.max_pool2d(torch.relu(self.bn2(self.conv2(x))), 2)
        x = nn.functional.max_pool2d(torch.relu(self.bn3(self.conv3(x))), 2)
        return self.fc(x.flatten(1))


def train():
    """The trained network, its optimizer, the share of test images that it gets right, and those images."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    digits = load_digits()
    images = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(digits.target)
    train_at, test_at = train_test_split(np.arange(len(labels)), test_size=0.2, random_state=SEED, stratify=labels)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-4)
    for _ in range(EPOCHS):
        net.train()
        for batch in torch.tensor(train_at)[torch.randperm(len(train_at))].split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        right = (net(images[test_at]).argmax(1) == labels[test_at]).float().mean().item()
    return net, optimizer, right, images[test_at]


def export(net, images, path):
    """Exports to one ONNX file, and proves that it computes the same."""
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        net,
        (images[:2],),
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: batch},),
        dynamo=True,
        external_data=False,
    )
    model = program.model_proto
    # The exporter notes source lines, with the paths of the machine it ran on.
    for node in model.graph.node:
        del node.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, {"image": images.numpy()})
    with torch.no_grad():
        theirs = net(images).numpy()
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max(), "onnxruntime and torch differ"
    assert (ours.argmax(1) == theirs.argmax(1)).all()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=EXAMPLES, help="where to write")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    net, optimizer, accuracy, images = train()
    print(f"test accuracy {accuracy:.4f}")
    assert accuracy >= ACCURACY, f"test accuracy {accuracy:.4f} is below {ACCURACY}"
    weights = net.state_dict()
    torch.save(weights, folder / "digits.pth")
    checkpoint = {
        "epoch": EPOCHS,
        "state_dict": weights,
        "optimizer": optimizer.state_dict(),
        "accuracy": accuracy,
        "args": {"lr": 2e-3, "weight_decay": 1e-4, "batch_size": 64, "seed": SEED},
    }
    torch.save(checkpoint, folder / "digits-checkpoint.pth")
    save_file(weights, folder / "digits.safetensors", metadata={"format": "pt"})
    export(net, images, folder / "digits.onnx")
    (folder / "digits.prototxt").write_text(prototxt())
    files = [folder / f"digits.{end}" for end in ("pth", "caffemodel", "prototxt")]
    weigh.run(weigh.find(), "convert", files[0], "-o", files[1], "--into", files[2], "--force", silent=True)
    text = README.format(
        accuracy=accuracy, tests=len(images), epochs=EPOCHS, torch=torch.__version__.partition("+")[0]
    )
    (folder / "README.md").write_text(text)
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert total < 1_000_000, f"{total} bytes in all"


if __name__ == "__main__":
    main()
