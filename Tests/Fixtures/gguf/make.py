"""The data of tensors as the package gguf (0.19) quantises them, from fixtures' weights put in llama.cpp's order by numpy.

    python make.py      (needs gguf, numpy, safetensors)
"""

import os

import gguf
import numpy
from safetensors.numpy import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "models")


def turned(weight, heads):
    """What transformers rotates by halves of a head, in the order in which neighbours are rotated."""
    rows = weight.shape[0] // heads
    return weight.reshape(heads, 2, rows // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def write(name, *weights):
    """Each tensor's data, padded to 32 bytes."""
    with open(os.path.join(HERE, name), "wb") as file:
        for weight, kind in weights:
            data = gguf.quants.quantize(numpy.ascontiguousarray(weight, numpy.float32), kind).tobytes()
            file.write(data + bytes(-len(data) % 32))


kinds = gguf.GGMLQuantizationType
llama = load_file(os.path.join(MODELS, "llama", "model.safetensors"))
block = "model.layers.1."
write(
    "llama-layer1-q8_0.bin",
    (llama[block + "input_layernorm.weight"], kinds.F32),
    (turned(llama[block + "self_attn.q_proj.weight"], 4), kinds.Q8_0),
    (turned(llama[block + "self_attn.k_proj.weight"], 2), kinds.Q8_0),
    (llama[block + "self_attn.v_proj.weight"], kinds.Q8_0),
)
mixtral = load_file(os.path.join(MODELS, "mixtral", "model.safetensors"))
block = "model.layers.1.block_sparse_moe.experts."
write(
    "mixtral-layer1-experts-bf16.bin",
    (numpy.stack([mixtral[f"{block}{expert}.w2.weight"] for expert in range(4)]), kinds.BF16),
)
