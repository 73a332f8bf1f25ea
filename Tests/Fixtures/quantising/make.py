"""Writes encodings.safetensors: matrices, and what compressed-tensors and torch make of them in each format.

    pip install torch safetensors compressed-tensors==0.20
    python make.py

For each matrix NAME (F32, of values that BF16 has) and format FORMAT: NAME.FORMAT.codes and .scales as they are written, by
compressed_tensors' calculate_qparams and compress in F32 with scales rounded to BF16 first; fp8-block by DeepSeek's formula
(amax / 448 in F32, padded to whole blocks). NAME.FORMAT.best: the least squared error of each group over the scales that a
search tries, found by trying all of them in F64.
"""
import torch, torch.nn.functional as F
from safetensors.torch import save_file
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.compressors.nvfp4.helpers import pack_fp4_to_uint8
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.quant_scheme import PRESET_SCHEMES
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam

generator = torch.Generator().manual_seed(20)
draw = lambda *shape: torch.randn(*shape, generator=generator)


def matrix(rows, columns):
    """Rows and columns of different sizes, some tiny, and values half way between codes."""
    w = draw(rows, columns) * torch.exp(0.5 * draw(rows, 1)) * torch.exp(0.4 * draw(columns)) * 0.05
    w[..., 5::37] *= 1e-4
    w[1] = (torch.arange(columns) % 29 - 14) / 2
    w[2] *= 1e-6
    w[3] *= 1e4
    return w.bfloat16().float()


def args(name):
    return QuantizationScheme(targets=["Linear"], **PRESET_SCHEMES[name])


def extremes(w, a):
    p = w.unflatten(1, (-1, a.group_size)) if a.group_size else w[:, None]
    return p.amin(2), p.amax(2)


out = {}
for name, w in {"a": matrix(6, 256), "b": matrix(5, 384)}.items():
    out[name] = w
    for form, preset, registry in [("fp8-channel", "FP8_DYNAMIC", "float-quantized"), ("int8", "INT8", "int-quantized"),
                                   ("int4-group:128", "W4A16", "pack-quantized"), ("mxfp4", "MXFP4A16", "mxfp4-pack-quantized"),
                                   ("nvfp4", "NVFP4A16", "nvfp4-pack-quantized")]:
        scheme = args(preset)
        glob = generate_gparam(w.amin(), w.amax()) if form == "nvfp4" else None
        scale, zero = calculate_qparams(*extremes(w, scheme.weights), scheme.weights, global_scale=glob)
        stored = scale
        if form in ("fp8-channel", "int8", "int4-group:128"):
            stored = scale.bfloat16()
            scale = stored.float()
        state = {"weight": w, "weight_scale": scale, "weight_zero_point": zero}
        if glob is not None: state["weight_global_scale"] = glob
        state = BaseCompressor.get_value_from_registry(registry).compress(state, scheme)
        codes = state["weight_packed"] if "weight_packed" in state else state["weight"]
        out[f"{name}.{form}.codes"] = codes.contiguous().view(torch.uint8)
        scales = state["weight_scale"] if form in ("mxfp4", "nvfp4") else stored
        out[f"{name}.{form}.scales"] = scales.contiguous().view(torch.uint8)
        if glob is not None: out[f"{name}.{form}.global"] = glob

    o, i = w.shape
    p = F.pad(w, (0, -i % 128, 0, -o % 128)).reshape(-(-o // 128), 128, -1, 128)
    scale = p.abs().amax((1, 3)) / 448
    codes = (p / scale[:, None, :, None]).clamp(-448, 448).reshape(-(-o // 128) * 128, -1)[:o, :i].to(torch.float8_e4m3fn)
    out[f"{name}.fp8-block.codes"] = codes.contiguous().view(torch.uint8)
    out[f"{name}.fp8-block.scales"] = scale.contiguous().view(torch.uint8)

    # The search, by hand: every scale that it tries, in F64.
    def best(size, scales, levels):
        g = w.double().unflatten(1, (-1, size))
        errors = []
        for s in scales:
            s = s.double()[..., None]
            near = levels[((g / s)[..., None] - levels).abs().argmin(-1)]
            errors.append(((g - near * s) ** 2).sum(-1))
        return torch.stack(errors).amin(0)

    fp4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.double)
    fp4 = torch.cat([-fp4.flip(0), fp4])
    amax = lambda size: w.unflatten(1, (-1, size)).abs().amax(-1)
    factors = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6]
    out[f"{name}.int4-group:128.best"] = best(128, [(amax(128) / 7.5 * f).bfloat16() for f in factors], torch.arange(-8, 8).double())
    exponent = calculate_qparams(*extremes(w, args("MXFP4A16").weights), args("MXFP4A16").weights)[0]
    out[f"{name}.mxfp4.best"] = best(32, [exponent, exponent * 2, exponent / 2], fp4)
    glob = generate_gparam(w.amin(), w.amax())
    tried = [(glob * (amax(16) / 6) * f).clamp(max=448).to(torch.float8_e4m3fn).float().clamp(min=2**-9) / glob
             for f in [1, 1.5, 1.25, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7]]
    out[f"{name}.nvfp4.best"] = best(16, tried, fp4)
save_file({k: v.contiguous() for k, v in sorted(out.items())}, "encodings.safetensors", metadata={"format": "pt"})
print(len(out), sum(t.numel() * t.element_size() for t in out.values()))
