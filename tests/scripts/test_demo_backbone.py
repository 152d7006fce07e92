"""The committed backbone: complete, small, loadable by timm, and good at what it was trained for."""

import json

import numpy as np
import torch
from repository import ROOT
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer

from drawing import draw_scene

WEIGHTS = ROOT / "data" / "demo_vit.safetensors"


def test_timm_loads_it_and_it_knows_its_classes():
    assert WEIGHTS.stat().st_size < 4e6
    config = json.loads(WEIGHTS.with_name("config.json").read_text())
    model = VisionTransformer(num_classes=config["num_classes"], **config["model_args"]).eval()
    state = {name: value.float() for name, value in load_file(WEIGHTS).items()}
    model.load_state_dict(state, strict=True)
    images, labels = [], []
    for number in range(216):
        rng = np.random.default_rng([77, number])
        labels.append(number % config["num_classes"])
        kind, pattern = config["label_names"][labels[-1]].split(", ")
        scene = draw_scene(rng, kind, pattern, rng.uniform(14, 50, 2), rng.uniform(0, 360), 2)
        images.append(np.asarray(scene))
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        predictions = model(batch).argmax(1)
    assert (predictions == torch.tensor(labels)).float().mean() > 0.6
