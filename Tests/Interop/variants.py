"""Other configurations of every family than the fixtures have: makes tiny random models with transformers, and compares what
`moe-tool forward --gradients` computes of them with what transformers does.

    python Tests/Interop/variants.py .build/release/moe-tool [NAME...] [--keep FOLDER]
    python Tests/Interop/variants.py --write NAME Tests/Fixtures/models/FIXTURE

A NAME is a fixture (`glm4-moe`) or one of its variants (`glm4-moe/groups`). Logits, hidden states and router logits within
1e-4 of the largest value where that is above one, gradients within 1e-4 of their norm. A configuration that moe-tool
refuses with exit 4 is counted as refused, and said. Where transformers itself cannot make the model, the variant is skipped.
"""
import json, os, random, shutil, subprocess, sys, tempfile, warnings
warnings.filterwarnings("ignore")
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()

args = sys.argv[1:]
keep = args.pop(args.index("--keep") + 1) if "--keep" in args else None
args = [a for a in args if a != "--keep"]
tool, names = args[0], args[1:]         # with --write the name and the folder
fixtures = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Fixtures", "models")

def rope(kind="default", theta=10000.0, **more): return dict(rope_parameters=dict(rope_type=kind, rope_theta=theta, **more))
YARN = dict(factor=4.0, original_max_position_embeddings=16)
LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
HEADS = {"mha": dict(num_key_value_heads=4), "mqa": dict(num_key_value_heads=1)}
WIDER = {"wider": dict(hidden_size=48, num_attention_heads=6, num_key_value_heads=3, head_dim=8, intermediate_size=40)}
TIED = {"tied": dict(tie_word_embeddings=True), "untied": dict(tie_word_embeddings=False)}
ROPES = {"linear": rope("linear", factor=4.0), "dynamic": rope("dynamic", factor=4.0, **{}) | dict(max_position_embeddings=16),
         "yarn": rope("yarn", **YARN), "yarn-mscale": rope("yarn", **YARN, mscale=0.707, mscale_all_dim=1.0, beta_fast=16.0, beta_slow=2.0),
         "llama3": rope("llama3", 500000.0, **LLAMA3), "theta": rope(theta=1000000.0) | dict(rms_norm_eps=1e-3)}
def parts(*factors, **more): return {f"partial-{f}": rope(theta=5000.0, partial_rotary_factor=f, **more) for f in factors}
BIAS = {"bias": dict(attention_bias=True), "no-bias": dict(attention_bias=False)}
V3 = {"groups": dict(n_group=4, topk_group=2, num_experts_per_tok=3), "one-group": dict(n_group=1, topk_group=1),
      "raw-gates": dict(norm_topk_prob=False, routed_scaling_factor=1.0), "scaled": dict(norm_topk_prob=True, routed_scaling_factor=3.3),
      "shared-2": dict(n_shared_experts=2), "top-1": dict(num_experts_per_tok=1)}
def first_dense(*counts, key="first_k_dense_replace", layers=3):
    return {f"dense-{n}": {key: n, **({"mlp_layer_types": ["dense"] * n + ["sparse"] * (layers - n)} if layers else {})} for n in counts}
LATENT = {"no-q-rank": dict(q_lora_rank=None), "head-sizes": dict(qk_nope_head_dim=12, qk_rope_head_dim=4, v_head_dim=16, head_dim=4), "bias": dict(attention_bias=True)}
MOE = {"top-1": dict(num_experts_per_tok=1), "top-all": dict(num_experts_per_tok=4), "raw-gates": dict(norm_topk_prob=False), "sum-gates": dict(norm_topk_prob=True)}
def types(*letters): return dict(layer_types=[{"f": "full_attention", "s": "sliding_attention", "l": "linear_attention", "c": "conv"}[x] for x in letters])
WINDOWS = {"window-3": dict(sliding_window=3), "all-full": types(*"ffff"), "all-sliding": types(*"ssss"), "mixed": types(*"fssf"), "window-1": dict(sliding_window=1)}
LONG = {"long": dict(_length=150, max_position_embeddings=512)}
DELTA = {**LONG, "kernel-2": dict(linear_conv_kernel_dim=2), "value-heads": dict(linear_num_value_heads=2), "one-key-head": dict(linear_num_key_heads=1),
         "wide-values": dict(linear_value_head_dim=16, linear_key_head_dim=4), "all-linear": types(*"llll"), "all-full": types(*"ffff")}
MUP = {"multipliers": dict(embedding_multiplier=12.0, residual_multiplier=0.22, attention_multiplier=0.0078125, logits_scaling=8.0), "plain": dict(embedding_multiplier=1.0, residual_multiplier=1.0, logits_scaling=1.0)}

COMMON = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
              bos_token_id=1, eos_token_id=2, pad_token_id=None, tie_word_embeddings=False)
BASES = {
    "olmo": dict(model_type="olmo", **COMMON),
    "arcee": dict(model_type="arcee", **COMMON, head_dim=16),
    "gemma": dict(model_type="gemma", **{**COMMON, "tie_word_embeddings": True}, head_dim=16),
    "cohere2-moe": dict(model_type="cohere2_moe", **{**COMMON, "tie_word_embeddings": True, "num_hidden_layers": 3}, head_dim=16, sliding_window=8, sliding_window_pattern=2, logit_scale=0.25, num_experts=4, num_experts_per_tok=2,
                        num_shared_experts=1, first_k_dense_replace=1, prefix_dense_intermediate_size=40),
}

VARIANTS = {
    "olmo": {**HEADS, **TIED, **BIAS, **ROPES, "clip": dict(clip_qkv=0.7), "wider": dict(hidden_size=48, num_attention_heads=6, num_key_value_heads=3)},
    "arcee": {**HEADS, **TIED, **BIAS, **ROPES, **WIDER, "mlp-bias": dict(mlp_bias=True)},
    "gemma": {**HEADS, **TIED, **BIAS, **WIDER, "gelu": dict(hidden_act="gelu"), "yarn": ROPES["yarn"], "theta": ROPES["theta"]},
    "cohere2-moe": {**HEADS, **TIED, **BIAS, **MOE, "sigmoid": dict(expert_selection_fn="sigmoid", norm_topk_prob=True), "sigmoid-raw": dict(expert_selection_fn="sigmoid", norm_topk_prob=False),
                    "no-shared": dict(num_shared_experts=0), "shared-2": dict(num_shared_experts=2), "sum": dict(shared_expert_combination_strategy="sum"), "rms": dict(rms_norm_eps=1e-3),
                    "dense-0": dict(first_k_dense_replace=0), "dense-2": dict(first_k_dense_replace=2), "prefix-2": dict(first_k_dense_replace=3, prefix_dense_sliding_window_pattern=2),
                    "types": dict(layer_types=["full_attention", "sliding_attention", "full_attention"], mlp_layer_types=["dense", "sparse", "dense"])},
    "llama": {**HEADS, **TIED, **ROPES, **BIAS, **WIDER, "mlp-bias": dict(mlp_bias=True, attention_bias=True), "half": parts(0.5)["partial-0.5"]},
    "mistral": {**HEADS, **TIED, **WIDER, "no-window": dict(sliding_window=None), "window-3": dict(sliding_window=3), "yarn": ROPES["yarn"]},
    "qwen2-tied": {**HEADS, **TIED, **WIDER, "window": dict(use_sliding_window=True, sliding_window=4, max_window_layers=1, layer_types=None), "window-all": dict(use_sliding_window=True, sliding_window=4, max_window_layers=0, layer_types=None), "yarn": ROPES["yarn"], "types": dict(use_sliding_window=True, sliding_window=5, layer_types=["sliding_attention", "full_attention"])},
    "qwen3": {**HEADS, **TIED, **WIDER, **BIAS, "window": dict(use_sliding_window=True, sliding_window=4, max_window_layers=1, layer_types=None), "yarn": ROPES["yarn"], "linear": ROPES["linear"]},
    "olmo2": {**HEADS, **TIED, **WIDER, **BIAS, **ROPES},
    "olmo3": {**HEADS, **TIED, **WINDOWS, **BIAS, "default-rope": rope(), "theta": rope(theta=500000.0)},
    "granite": {**HEADS, **TIED, **WIDER, **BIAS, **MUP, "mlp-bias": dict(mlp_bias=True), "yarn": ROPES["yarn"]},
    "gemma2": {**HEADS, **WIDER, **TIED, "caps": dict(attn_logit_softcapping=5.0, final_logit_softcapping=3.0), "no-caps": dict(attn_logit_softcapping=None, final_logit_softcapping=None), "scalar": dict(query_pre_attn_scalar=40), "types": dict(layer_types=["full_attention", "sliding_attention"], sliding_window=3), **BIAS, "yarn": ROPES["yarn"]},
    "gemma3-text": {**LONG, **HEADS, **WIDER, **TIED, **WINDOWS, "caps": dict(attn_logit_softcapping=5.0, final_logit_softcapping=3.0), "scalar": dict(query_pre_attn_scalar=40), **BIAS, "bases": dict(rope_parameters=dict(sliding_attention=dict(rope_type="default", rope_theta=500.0), full_attention=dict(rope_type="default", rope_theta=20000.0)))},
    "phi3": {**HEADS, **TIED, **WIDER, "window": dict(sliding_window=5), **parts(0.5, 0.75), "theta": ROPES["theta"],
             "longrope-short": dict(max_position_embeddings=64, original_max_position_embeddings=32) | rope("longrope", short_factor=[1.0, 1.1, 1.3, 1.9], long_factor=[1.5, 2.0, 3.0, 4.5], original_max_position_embeddings=32),
             "longrope-long": dict(max_position_embeddings=64, original_max_position_embeddings=16) | rope("longrope", short_factor=[1.0, 1.1, 1.3, 1.9], long_factor=[1.5, 2.0, 3.0, 4.5], original_max_position_embeddings=16),
             "longrope-partial": dict(max_position_embeddings=64, original_max_position_embeddings=16) | rope("longrope", short_factor=[1.0, 1.1], long_factor=[1.5, 2.0], original_max_position_embeddings=16, partial_rotary_factor=0.5)},
    "mixtral": {**HEADS, **TIED, **WIDER, "top-1": MOE["top-1"], "top-all": MOE["top-all"], "window": dict(sliding_window=5), "yarn": ROPES["yarn"] | dict(head_dim=8)},
    "qwen2-moe": {**HEADS, **TIED, **MOE, "step-2": dict(decoder_sparse_step=2), "mlp-only": dict(mlp_only_layers=[0]), "no-bias": dict(qkv_bias=False), "window": dict(use_sliding_window=True, sliding_window=4, max_window_layers=1, layer_types=None)},
    "qwen3-moe": {**HEADS, **TIED, **MOE, **BIAS, "step-2": dict(decoder_sparse_step=2), "mlp-only": dict(mlp_only_layers=[1]), "window": dict(use_sliding_window=True, sliding_window=4, max_window_layers=1)},
    "olmoe": {**HEADS, **TIED, **MOE, **BIAS, "clip": dict(clip_qkv=0.7), "yarn": ROPES["yarn"]},
    "flex-olmo": {**HEADS, **TIED, **MOE, **BIAS, "theta": ROPES["theta"]},
    "granitemoe": {**HEADS, **TIED, **WIDER, **BIAS, **MUP, "top-1": MOE["top-1"], "top-all": MOE["top-all"]},
    "granitemoeshared": {**HEADS, **TIED, **BIAS, **MUP, "no-shared": dict(shared_intermediate_size=0), "top-all": MOE["top-all"]},
    "granitemoehybrid-attention": {**HEADS, **TIED, **BIAS, **MUP, "no-experts": dict(num_local_experts=0, num_experts_per_tok=0), "nope": dict(position_embedding_type="nope"), "top-1": MOE["top-1"]},
    "granitemoehybrid-mamba": {**LONG, **HEADS, **TIED, **MUP, "groups": dict(mamba_n_groups=2), "no-experts": dict(num_local_experts=0, num_experts_per_tok=0), "rope": dict(position_embedding_type="rope"), "biases": dict(mamba_proj_bias=True, mamba_conv_bias=False), "kernel-2": dict(mamba_d_conv=2), "state-4": dict(mamba_d_state=4)},
    "phimoe": {**HEADS, **TIED, **BIAS, "window": dict(sliding_window=5), "head-bias": dict(lm_head_bias=True), "jitter": dict(router_jitter_noise=0.2, input_jitter_noise=0.0)},
    "deepseek-v2": {**TIED, **LATENT, **first_dense(0, 2, layers=0), "raw-1": dict(routed_scaling_factor=16.0), "limited": dict(topk_method="group_limited_greedy", n_group=4, topk_group=2), "shared-1": dict(n_shared_experts=1), "no-shared": dict(n_shared_experts=None), "yarn": ROPES["yarn-mscale"], "norm": dict(norm_topk_prob=True), "heads": dict(num_attention_heads=2, num_key_value_heads=2)},
    "deepseek-v3": {**LONG, **TIED, **V3, **LATENT, **first_dense(0, 2, layers=0), "yarn": ROPES["yarn-mscale"], "half-split": dict(rope_interleave=False), "no-shared": dict(n_shared_experts=0)},
    "deepseek-v32": {**TIED, **V3, **LATENT, **first_dense(0, 2, layers=0), "yarn": ROPES["yarn-mscale"]},
    "gpt-oss": {**LONG, **HEADS, **TIED, "top-1": MOE["top-1"], "top-all": MOE["top-all"], "window-3": dict(sliding_window=3), "types": dict(layer_types=["full_attention", "full_attention"]), "rope": rope(), "yarn": rope("yarn", 150000.0, factor=32.0, original_max_position_embeddings=16, beta_fast=32.0, beta_slow=1.0, truncate=False), "no-bias": dict(attention_bias=False)},
    "glm4": {**HEADS, **TIED, **BIAS, **parts(0.25, 1.0)},
    "glm4-moe": {**HEADS, **TIED, **BIAS, **V3, **first_dense(0, 2, layers=0), "no-qk-norm": dict(use_qk_norm=False), **parts(0.25, 1.0), "no-shared": dict(n_shared_experts=0)},
    "glm4-moe-lite": {**TIED, **V3, **LATENT, **{k: {"mlp_layer_types": v["mlp_layer_types"]} for k, v in first_dense(0, 2).items()}, "yarn": ROPES["yarn-mscale"]},
    "minimax-m2": {**HEADS, **TIED, "top-1": MOE["top-1"], "top-all": MOE["top-all"], **parts(0.25, 1.0), "rotary-dim": dict(rotary_dim=4)},
    "dots1": {**HEADS, **TIED, **BIAS, **V3, **first_dense(0, 2, layers=0), "all-full": types(*"fff"), "window-3": dict(sliding_window=3)},
    "solar-open": {**HEADS, **TIED, **BIAS, **V3, **first_dense(0, 2, layers=0), **parts(0.5), "yarn": ROPES["yarn"]},
    "hy-v3": {**HEADS, **TIED, "top-1": MOE["top-1"], "top-all": MOE["top-all"], "shared-2": dict(num_shared_experts=2), "scaled": dict(router_scaling_factor=2.826), "route-scale": dict(route_scale=2.0, route_norm=False), **{k: {"mlp_layer_types": v["mlp_layer_types"]} for k, v in first_dense(0, 2).items()}, "theta": ROPES["theta"]},
    "seed-oss": {**HEADS, **TIED, **BIAS, **WIDER, "out-bias": dict(attention_out_bias=True), "mlp-bias": dict(mlp_bias=True)},
    "ministral3": {**LONG, **HEADS, **TIED, "window": dict(sliding_window=5), "beta-0": rope("yarn", **YARN, llama_4_scaling_beta=0.0, mscale=1.0, mscale_all_dim=1.0), "beta": rope("yarn", factor=16.0, original_max_position_embeddings=8, llama_4_scaling_beta=0.3, mscale=1.0, mscale_all_dim=0.0), "default": rope("default", llama_4_scaling_beta=0.1, original_max_position_embeddings=8)},
    "smollm3": {**HEADS, **TIED, **BIAS, "all-rope": dict(no_rope_layers=[1, 1, 1, 1]), "no-rope": dict(no_rope_layers=[0, 0, 0, 0]), "interval": dict(no_rope_layers=None, no_rope_layer_interval=2), "window": dict(use_sliding_window=True, sliding_window=4, layer_types=None), "mlp-bias": dict(mlp_bias=True), "yarn": ROPES["yarn"]},
    "afmoe": {**HEADS, **TIED, "mup-off": dict(mup_enabled=False), "top-all": MOE["top-all"], "no-norm": dict(route_norm=False, route_scale=1.0), "softmax": dict(score_func="softmax"), "shared-2": dict(num_shared_experts=2), "no-shared": dict(num_shared_experts=0), **first_dense(0, 2, key="num_dense_layers", layers=0), "all-full": types(*"ffff"), "window-3": dict(sliding_window=3), "groups": dict(n_group=2, topk_group=1)},
    "exaone4": {**HEADS, **TIED, "no-window": dict(sliding_window=None), **WINDOWS, "pattern": dict(sliding_window_pattern=2, layer_types=None), "llama3": ROPES["llama3"]},
    "exaone-moe": {**HEADS, **TIED, **{k: v for k, v in V3.items() if k != "shared-2"}, "groups": dict(n_group=3, topk_group=2), "shared-2": dict(num_shared_experts=2), **{k: {"mlp_layer_types": v["mlp_layer_types"]} for k, v in first_dense(0, 2, layers=4).items()}, **WINDOWS},
    "ernie4-5": {**HEADS, **TIED, "bias": dict(use_bias=True), **WIDER, "theta": ROPES["theta"]},
    "ernie4-5-moe": {**HEADS, **TIED, "bias": dict(use_bias=True), "top-1": dict(moe_k=1), "top-all": dict(moe_k=6), "shared-2": dict(moe_num_shared_experts=2), "no-shared": dict(moe_num_shared_experts=0), "all": dict(moe_layer_start_index=0), "every-2": dict(moe_layer_start_index=0, moe_layer_interval=2), "until-1": dict(moe_layer_start_index=0, moe_layer_end_index=1), "min-norm": dict(moe_norm_min=0.9)},
    "hunyuan-v1-dense": {**HEADS, **TIED, **BIAS, **WIDER, "alpha": rope("dynamic", alpha=1000.0, factor=1.0), "theta": ROPES["theta"]},
    "hunyuan-v1-moe": {**HEADS, **TIED, **BIAS, "top-1": dict(moe_topk=1), "top-list": dict(moe_topk=[2, 2]), "top-lists": dict(moe_topk=[1, 2]), "theta": ROPES["theta"]},
    "cohere2": {**HEADS, **TIED, **BIAS, **WIDER, **WINDOWS, "scale": dict(logit_scale=2.0), "eps": dict(layer_norm_eps=1e-3)},
    "lfm2": {**LONG, **HEADS, **TIED, "kernel-2": dict(conv_L_cache=2), "kernel-5": dict(conv_L_cache=5, conv_bias=True), "all-conv": types(*"cc"), "all-full": types(*"ff"), "adjust": dict(block_auto_adjust_ff_dim=True, block_multiple_of=16, block_ffn_dim_multiplier=1.0), "theta": rope(theta=500.0) | dict(norm_eps=1e-3)},
    "lfm2-moe": {**HEADS, **TIED, **MOE, "kernel-5": dict(conv_L_cache=5, conv_bias=True), "no-bias": dict(use_expert_bias=False), **first_dense(0, 2, key="num_dense_layers", layers=0), "scaled": dict(routed_scaling_factor=2.5), "types": types(*"fcf")},
    "qwen3-next": {**HEADS, **TIED, **BIAS, **DELTA, **{k: v for k, v in MOE.items()}, "step-2": dict(decoder_sparse_step=2), "mlp-only": dict(mlp_only_layers=[1, 2]), **parts(0.5)},
    "qwen3-5-text": {**HEADS, **TIED, **BIAS, **DELTA, **parts(0.5, mrope_section=[2, 1, 1], mrope_interleaved=True)},
    "qwen3-5-moe-text": {**HEADS, **TIED, **BIAS, **DELTA, "top-1": MOE["top-1"], "top-all": MOE["top-all"]},
    "llama4-text": {**LONG, **HEADS, **TIED, **BIAS, "step-1": dict(interleave_moe_layer_step=1, moe_layers=None), "listed": dict(moe_layers=[0, 3]), "top-2": dict(num_experts_per_tok=2), "no-qk-norm": dict(use_qk_norm=False), "no-temperature": dict(attn_temperature_tuning=False), "all-rope": dict(no_rope_layers=[1, 1, 1, 1], layer_types=None), "chunk-5": dict(attention_chunk_size=5), "llama3": ROPES["llama3"]},
    "gemma4-text": {**LONG, **HEADS, **TIED, **BIAS, "top-1": dict(top_k_experts=1), "top-all": dict(top_k_experts=4), "wide": dict(global_head_dim=32, per_layer_config=None), "wide-shared": dict(global_head_dim=32, num_global_key_value_heads=1, attention_k_eq_v=True, per_layer_config=None), "shared": dict(attention_k_eq_v=True), "dense": dict(enable_moe_block=False), "cap": dict(final_logit_softcapping=3.0), "types": dict(layer_types=None, num_hidden_layers=7), "last": types(*"fsss"), "window-3": dict(sliding_window=3), "embeddings": dict(hidden_size_per_layer_input=8, vocab_size_per_layer_input=96), "kv-shared": dict(num_kv_shared_layers=2), "bidirectional": dict(use_bidirectional_attention="all"), "vision": dict(use_bidirectional_attention="vision")},
    "nemotron-h": {**LONG, **HEADS, **TIED, "groups-1": dict(n_groups=1), "state-4": dict(ssm_state_size=4), "kernel-2": dict(conv_kernel=2), "scaled": dict(routed_scaling_factor=2.5), "raw-gates": dict(norm_topk_prob=False), "groups": dict(n_group=2, topk_group=1), "shared-2": dict(n_shared_experts=2), "biases": dict(use_bias=True, mlp_bias=True, attention_bias=True, use_conv_bias=False), "attention": dict(layers_block_type=["attention", "moe", "attention", "moe"], hybrid_override_pattern=None)},
}

def reseed(model, seed):
    """Weights large enough that routing is decisive and every parameter matters."""
    g = torch.Generator().manual_seed(seed)
    plus_one = any(f in model.config.model_type for f in ("gemma2", "gemma3", "qwen3_next", "qwen3_5")) or model.config.model_type == "gemma"
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if p.dim() == 1 and "norm" in name:
                p.copy_((0.0 if plus_one else 1.0) + 0.2 * torch.randn(p.shape, generator=g))
            elif p.dim() == 1:
                base = 1.0 if name.endswith(("router.scale", "per_expert_scale")) else 0.0
                p.copy_(base + 0.1 * torch.randn(p.shape, generator=g))
            else:
                p.copy_(torch.randn(p.shape, generator=g) * (0.25 if "embed" not in name else 1.0))
        for name, b in sorted(model.named_buffers()):
            if "e_score_correction_bias" in name or "expert_bias" in name:
                b.copy_(0.2 * torch.randn(b.shape, generator=g))
            if name.endswith("layer_scalar"):
                b.copy_(0.7 + 0.2 * torch.randn(b.shape, generator=g))

def base_of(family):
    return BASES[family] if family in BASES else json.load(open(os.path.join(fixtures, family, "config.json")))

def make(base, change, folder, seed):
    """Saves the model, and what transformers computes of it."""
    cfg = {**base, **change}
    length = cfg.pop("_length", 24)
    for key in ("architectures", "transformers_version", "dtype", "torch_dtype"): cfg.pop(key, None)
    cfg = {k: v for k, v in cfg.items() if not (k in change and v is None and k in ("layer_types", "per_layer_config", "moe_layers", "hybrid_override_pattern"))}
    if isinstance(cfg.get("time_step_limit"), list): cfg["time_step_limit"] = (0.0, float("inf"))       # JSON has no infinity
    config = AutoConfig.for_model(cfg.pop("model_type"), **cfg)
    config._attn_implementation = config._experts_implementation = "eager"
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    reseed(model, seed)
    model.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()
    ids = torch.randint(3, config.vocab_size, (2, length), generator=torch.Generator().manual_seed(7))
    kw = dict(output_router_logits=True) if hasattr(config, "output_router_logits") else {}
    try:
        result = model(input_ids=ids, output_hidden_states=True, use_cache=False, **kw)
    except IndexError:
        # Without an expert there is no router's output to collect.
        result, kw = model(input_ids=ids, output_hidden_states=True, use_cache=False, output_router_logits=False), {}
    logits = result.logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
    loss.backward()
    expected = {"logits": logits.detach(), "loss": loss.detach(), "hidden.final": result.hidden_states[-1].detach()}
    for l, h in enumerate(result.hidden_states[:-1]): expected[f"hidden.{l}"] = h.detach()
    if kw and getattr(result, "router_logits", None) is not None:
        # A dense layer's entry is nothing.
        for l, r in enumerate([r for r in result.router_logits if torch.is_tensor(r)]): expected[f"router_logits.{l}"] = r.detach().reshape(-1, r.shape[-1])
    with torch.no_grad():
        for p in model.parameters(): p.copy_(p.grad if p.grad is not None else torch.zeros_like(p))
    model.save_pretrained(folder + ".grad")
    grads = load_file(os.path.join(folder + ".grad", "model.safetensors"))
    shutil.rmtree(folder + ".grad")
    expected = {k: v.contiguous().numpy() for k, v in expected.items()}
    expected.update({"grad." + n: t for n, t in grads.items() if not n.endswith(("e_score_correction_bias", "expert_bias", "layer_scalar")) and ".indexer." not in n})
    return ids.numpy(), expected

def compare(want, got):
    problems, worst = [], 0.0
    for key, w in want.items():
        w = w.astype(np.float64)
        if w.size == 0 and key not in got: continue       # of a shared expert without a unit
        if key not in got: problems.append(f"lacks {key}"); continue
        g = got[key].astype(np.float64)
        if g.shape != w.shape: problems.append(f"{key} {g.shape} {w.shape}"); continue
        if not np.isfinite(g).all(): problems.append(f"{key} is not finite"); continue
        if key.startswith("grad.") and np.abs(w).max() >= 1e-6: d = np.linalg.norm(g - w) / np.linalg.norm(w)
        else: d = np.abs(g - w).max() / max(1, np.abs(w).max())
        worst = max(worst, d)
        if d > (1e-6 if key.startswith("grad.") and np.abs(w).max() < 1e-6 else 1e-4): problems.append(f"{key} {d:.1e}")
    return problems, worst

if tool == "--write":
    family, variant = (names[0].split("/") + ["base"])[:2]
    ids, want = make(base_of(family), {"base": {}, **VARIANTS[family]}[variant], names[1], 2000)
    save_file({"input_ids": ids, **want}, os.path.join(names[1], "expected.safetensors"), metadata={"transformers": transformers.__version__})
    for extra in ("generation_config.json",):
        if os.path.exists(os.path.join(names[1], extra)): os.remove(os.path.join(names[1], extra))
    sys.exit(0)

def mixed(family, variants, count=4):
    """Several changes at once, of keys that differ."""
    g = random.Random(family)
    for index in range(count):
        change = {}
        for name in g.sample(sorted(variants), len(variants)):
            if not set(variants[name]) & set(change): change.update(variants[name])
            if len(change) > 5: break
        yield f"mixed-{index}", change

passed, failed, refused, skipped = 0, [], [], []
for family, variants in VARIANTS.items():
    variants = {**variants, **dict(mixed(family, variants))}
    for index, (name, change) in enumerate([("base", {})] + list(variants.items())):
        label = f"{family}/{name}"
        if names and family not in names and label not in names: continue
        base = base_of(family)
        with tempfile.TemporaryDirectory() as tmp:
            folder = os.path.join(tmp, "model")
            try:
                ids, want = make(base, change, folder, 1000 + index)
                save_file({"input_ids": ids}, f"{tmp}/ids.safetensors")
            except Exception as error:
                skipped.append(label); print(f"skip   {label}: {type(error).__name__}: {str(error).splitlines()[0][:150] if str(error) else ''}", flush=True); continue
            if keep:
                shutil.rmtree(os.path.join(keep, label), ignore_errors=True)
                shutil.copytree(folder, os.path.join(keep, label))
            run = subprocess.run([tool, "forward", folder, "--input", f"{tmp}/ids.safetensors", "--output", f"{tmp}/out.safetensors", "--gradients", "--quiet"], capture_output=True, text=True)
            if run.returncode == 4:
                refused.append(label); print(f"refuse {label}: {run.stderr.strip()[-160:]}", flush=True); continue
            if run.returncode:
                failed.append(label); print(f"FAIL   {label}: exit {run.returncode}: {run.stderr.strip()[:400]}", flush=True); continue
            problems, worst = compare(want, load_file(f"{tmp}/out.safetensors"))
            if problems:
                failed.append(label); print(f"FAIL   {label}: {len(problems)} of {len(want)}: {'; '.join(problems[:4])}", flush=True)
            else:
                passed += 1; print(f"pass   {label} {worst:.1e}", flush=True)
print(f"{passed} passed, {len(failed)} failed, {len(refused)} refused, {len(skipped)} skipped by transformers")
sys.exit(bool(failed))
