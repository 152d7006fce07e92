import sys;
sys.path.insert(0, "/work/main/scripts") import torch;
from pathlib import Path import train_demo_backbone as t m = t.Pretraining();
m.load_state_dict(torch.load("/tmp/bb/state.pt", weights_only = True)["model"]) t.export(
    m, Path("/tmp/bb2/demo_vit.safetensors"))
