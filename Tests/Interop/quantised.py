"""Quantises models of several families in every format, and reads them with the libraries that the formats are of.

    python Tests/Interop/quantised.py .build/release/moe-tool [FAMILY...]

Needs torch, transformers, safetensors and compressed-tensors. For each family and format: compressed-tensors (or, for FP8
blocks and gpt-oss, transformers' own function) must find by the written configuration alone the weights that are quantised,
under the plain names and in the plain shapes, with an error of the size that the format has; every other tensor must be as it
was, byte for byte. Then transformers must load the folder, dequantising on the processor, with no key missing, unexpected or
of another shape, and have exactly these values in the dtype that it computes in. What transformers itself does not read is
listed as skipped, with the reason. Prints a line for each and ends with 'N passed, N failed'.
"""
import json, os, subprocess, sys, tempfile, warnings
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
tool = os.path.abspath(sys.argv[1])
wanted = sys.argv[2:]
COMMON = dict(vocab_size=128, num_hidden_layers=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
              pad_token_id=None, tie_word_embeddings=False, hidden_size=256, num_attention_heads=4, num_key_value_heads=2)
FAMILIES = {
    "llama": dict(model_type="llama", intermediate_size=384),
    "tied": dict(model_type="qwen2", intermediate_size=384, tie_word_embeddings=True),
    "qwen3_moe": dict(model_type="qwen3_moe", intermediate_size=384, moe_intermediate_size=128, num_experts=4, head_dim=64,
                      num_experts_per_tok=2, norm_topk_prob=True, mlp_only_layers=[0]),
    "qwen2_moe": dict(model_type="qwen2_moe", intermediate_size=384, moe_intermediate_size=128, num_experts=4,
                      shared_expert_intermediate_size=256, num_experts_per_tok=2),
    "mixtral": dict(model_type="mixtral", intermediate_size=128, num_local_experts=4, num_experts_per_tok=2),
    "deepseek_v3": dict(model_type="deepseek_v3", intermediate_size=384, moe_intermediate_size=128, n_routed_experts=4,
                        num_experts_per_tok=2, n_shared_experts=1, first_k_dense_replace=1, kv_lora_rank=128, q_lora_rank=128,
                        qk_rope_head_dim=64, qk_nope_head_dim=64, v_head_dim=64, num_key_value_heads=4, n_group=2, topk_group=1),
    "gpt_oss": dict(model_type="gpt_oss", intermediate_size=128, num_local_experts=4, num_experts_per_tok=2, head_dim=64,
                    sliding_window=16),
}
# A language model within a larger one: the tower's weights must be found to be as they were.
GEMMA = dict(model_type="gemma3", text_config=dict(
    model_type="gemma3_text", vocab_size=300, hidden_size=256, intermediate_size=384, num_hidden_layers=2, head_dim=64,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128), vision_config=dict(
    model_type="siglip_vision_model", hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4,
    image_size=32, patch_size=8), mm_tokens_per_image=4, boi_token_index=290, eoi_token_index=291, image_token_index=292)
FORMATS = ["fp8-block", "fp8-channel", "int8", "int4-group:128", "int4-group:32", "mxfp4", "nvfp4"]
# The root mean square of the error over that of the weights, for values drawn from a normal distribution.
ERRORS = {"fp8-block": 0.03, "fp8-channel": 0.03, "int8": 0.011, "int4-group:128": 0.13, "int4-group:32": 0.11, "mxfp4": 0.13, "nvfp4": 0.11}
passed = failed = skipped = 0


def report(good, text, why=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(f"{'ok' if good else 'FAILED'} {text}{': ' + str(why) if not good else ''}", flush=True)


def skip(text, why):
    global skipped
    skipped += 1
    print(f"skipped {text}: {why}", flush=True)


def fill(net):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in sorted(net.named_parameters()):
            draws = torch.randn(p.shape, generator=generator)
            p.copy_(1 + 0.1 * draws if p.dim() == 1 and "norm" in name else draws * 0.05)


def source(name, folder):
    spec = dict(GEMMA) if name == "gemma3" else {**COMMON, **FAMILIES[name]}
    config = AutoConfig.for_model(spec.pop("model_type"), **spec)
    kind = AutoModelForImageTextToText if name == "gemma3" else AutoModelForCausalLM
    net = kind.from_config(config, dtype=torch.float32).eval()
    fill(net)
    net.to(torch.bfloat16).save_pretrained(folder)
    return kind


def convert(path, out, form, *options):
    done = subprocess.run([tool, "convert", path, "-o", out, "--quantise", form, "--force", "--quiet", *options],
                          capture_output=True, text=True)
    if done.returncode: raise RuntimeError(done.stderr.strip())


def decoded(folder):
    """The weights as the formats' own libraries give them, in F32, by the folder's configuration."""
    tensors = load_file(f"{folder}/model.safetensors")
    settings = json.load(open(f"{folder}/config.json"))["quantization_config"]
    if settings["quant_method"] == "compressed-tensors":
        from compressed_tensors.entrypoints.convert.converters import CompressedTensorsDequantizer
        # It sees names only and cannot know what is no linear layer.
        names = [n.removesuffix(".weight") for n, t in tensors.items() if t.dim() == 1 and n.endswith(".weight")]
        converter = CompressedTensorsDequantizer(folder, ignore=names, dtype=torch.float32)
        result = converter.validate(dict(tensors))
        return {n: t.float() for n, t in result.items() if not n.endswith("weight_shape")}
    from transformers.integrations.finegrained_fp8 import _dequantize_fp8_weight
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    result = {}
    for n, t in tensors.items():
        if n.endswith(("_scale_inv", "_scales")): continue
        if n.endswith("_blocks"):
            base = n.removesuffix("_blocks")
            result[base] = convert_moe_packed_tensors(t, tensors[base + "_scales"], dtype=torch.float32)
        elif n + "_scale_inv" in tensors:
            result[n] = _dequantize_fp8_weight(t, tensors[n + "_scale_inv"], settings["weight_block_size"], torch.float32)
        else:
            result[n] = t.float()
    return result


def check_values(label, path, out, form):
    plain, made = load_file(f"{path}/model.safetensors"), decoded(out)
    written = load_file(f"{out}/model.safetensors")
    if plain.keys() != made.keys():
        return report(False, f"{label}: values", sorted(plain.keys() ^ made.keys())[:4])
    worst, count = 0.0, 0
    for n, t in plain.items():
        if n in written and written[n].dtype == t.dtype:
            if not torch.equal(written[n], t): return report(False, f"{label}: values", f"{n} was changed")
            if not torch.equal(made[n], t.float()): return report(False, f"{label}: values", f"{n} is taken for quantised")
            continue
        if made[n].shape != t.shape: return report(False, f"{label}: values", f"{n} is {made[n].shape}")
        worst = max(worst, ((made[n] - t.float()).pow(2).mean() / t.float().pow(2).mean()).sqrt().item())
        count += 1
    report(0 < worst <= ERRORS[form], f"{label}: {count} weights by the format's library, error at most {worst:.4f} of their size", worst)
    return made


def plain_state(path, kind, weights, dtype):
    """The state that transformers has of a plain checkpoint with these weights."""
    with tempfile.TemporaryDirectory() as folder:
        config = json.load(open(f"{path}/config.json"))
        json.dump(config, open(f"{folder}/config.json", "w"))
        save_file({n: t.to(dtype).contiguous() for n, t in weights.items()}, f"{folder}/model.safetensors", metadata={"format": "pt"})
        return kind.from_pretrained(folder, dtype=dtype).state_dict()


def check_loading(label, path, out, form, kind, made):
    settings = json.load(open(f"{out}/config.json"))["quantization_config"]
    how = {"compressed-tensors": lambda: transformers.CompressedTensorsConfig(dequantize=True),
           "fp8": lambda: transformers.FineGrainedFP8Config(dequantize=True, weight_block_size=(128, 128)),
           "mxfp4": lambda: transformers.Mxfp4Config(dequantize=True)}[settings["quant_method"]]()
    dtype = torch.bfloat16
    try:
        net, info = kind.from_pretrained(out, dtype=dtype, quantization_config=how, output_loading_info=True)
    except Exception as error:
        return report(False, f"{label}: transformers", f"{type(error).__name__}: {str(error)[:300]}")
    strays = {k: v for k, v in info.items() if v and k != "error_msgs" and not all(str(x).endswith("weight_shape") for x in v)}
    expected = plain_state(path, kind, made, dtype)
    theirs = net.state_dict()
    differing = [n for n, t in expected.items() if n not in theirs or not torch.equal(theirs[n].float(), t.float())]
    report(not strays and not differing, f"{label}: transformers has the same {len(expected)} tensors",
           f"{strays or ''} {len(differing)} differ, {differing[:3]}")


def unread(name, form, settings):
    """Why transformers 5.24 does not read a folder that compressed-tensors reads; none where it does."""
    if settings["quant_method"] != "compressed-tensors" or name not in ("qwen3_moe", "qwen2_moe", "mixtral", "deepseek_v3"): return None
    return {"nvfp4": "transformers drops the global scale of experts in NVFP4 and computes with wrong weights",
            "int8": "transformers does not decode experts of eight-bit integers"}.get(form)


for name in [*FAMILIES, "gemma3"]:
    if wanted and name not in wanted: continue
    with tempfile.TemporaryDirectory() as folder:
        path, out = f"{folder}/in", f"{folder}/out"
        try:
            kind = source(name, path)
        except Exception as error:
            skip(name, f"transformers does not make one: {error}")
            continue
        runs = [(form, ()) for form in FORMATS]
        if name in ("qwen3_moe", "deepseek_v3"): runs += [(form, ("--roles", "experts")) for form in ("fp8-block", "int4-group:32")]
        if name == "llama": runs += [("int4-group:32", ("--scale-search", "mse")), ("nvfp4", ("--scale-search", "mse")), ("int8", ("--roles", "attention,head"))]
        if name == "gpt_oss": runs = [("mxfp4", ()), ("mxfp4", ("--scale-search", "mse")), ("int8", ("--roles", "attention"))]
        for form, options in runs:
            label = f"{name} {form} {' '.join(options)}".strip()
            try:
                convert(path, out, form, *options)
            except RuntimeError as error:
                report(False, label, error)
                continue
            made = check_values(label, path, out, form)
            if made is None: continue
            settings = json.load(open(f"{out}/config.json"))["quantization_config"]
            why = unread(name, form, settings)
            if why:
                skip(f"{label}: transformers", why)
            else:
                check_loading(label, path, out, form, kind, made)
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(failed > 0)
