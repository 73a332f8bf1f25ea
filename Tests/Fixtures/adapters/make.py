"""Tiny bases and adapters on them, and the logits of PEFT's live model with each (PEFT 0.21.2, transformers 5.24).

    python make.py        # rewrites this folder

expected.safetensors: `ids` [2, 12], and the logits [2, 12, V] of each adapter under its folder's name.
"""

import json
import os
import shutil

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MixtralConfig, Qwen2Config

HERE = os.path.dirname(os.path.abspath(__file__))
os.chdir(HERE)
os.environ["HF_HUB_OFFLINE"] = "1"
common = dict(
    hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    vocab_size=28, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=None)
ids = torch.tensor([[1, 5, 9, 20, 3, 7, 11, 26, 4, 8, 15, 2], [1, 6, 6, 21, 13, 0, 27, 25, 14, 18, 10, 2]])


def randomise(model, seed, std=0.3):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in sorted(model.named_parameters()):
            if "norm" in name:
                value.copy_(1 + 0.1 * torch.randn(value.shape, generator=generator))
            else:
                value.copy_(std * torch.randn(value.shape, generator=generator))


def base(name, config):
    shutil.rmtree(name, ignore_errors=True)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomise(model, len(name))
    model.save_pretrained(name)
    os.remove(f"{name}/generation_config.json")


base("llama", LlamaConfig(**common, attention_bias=True, mlp_bias=True))
base("tied", Qwen2Config(**common, tie_word_embeddings=True))
base("mixtral", MixtralConfig(**common, num_local_experts=4, num_experts_per_tok=2))

expected = {"ids": ids}


def trainable(model, seed):
    """Whatever PEFT would train gets values, as after a training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in sorted(model.named_parameters()):
            if value.requires_grad:
                value.add_(0.2 * torch.randn(value.shape, generator=generator))


def adapter(name, base, before=lambda model: None, **options):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before(model)
    peft = get_peft_model(model, LoraConfig(**{"r": 2, "lora_alpha": 3, "task_type": "CAUSAL_LM", **options}))
    trainable(peft, len(expected))
    peft.eval()
    with torch.no_grad():
        logits = peft(ids).logits
    shutil.rmtree(name, ignore_errors=True)
    peft.save_pretrained(name)
    # What PEFT reads back is what it wrote.
    again = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before(again)
    with torch.no_grad():
        reread = PeftModel.from_pretrained(again, name).eval()(ids).logits
    difference = (reread - logits).abs().max().item()
    expected[name] = reread.contiguous()
    if os.path.exists(f"{name}/README.md"):
        os.remove(f"{name}/README.md")
    path = f"{name}/adapter_config.json"
    config = json.load(open(path))
    config["base_model_name_or_path"] = f"../{base}"
    json.dump(config, open(path, "w"), indent=1, sort_keys=True)
    print(f"{name:24}", f"{difference:.1e}", sorted({
        key.removeprefix("base_model.model.").replace("layers.0.", "layers.N.").replace("layers.1.", "layers.N.")
        for key in load_file(f"{name}/adapter_model.safetensors")}))


attention = ["q_proj", "v_proj"]
adapter("patterns", "llama", target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True,
        rank_pattern={r"layers\.1\.self_attn\.[qk]_proj": 4, "down_proj": 1, "q_proj": 3, "proj": 7},
        alpha_pattern={r"^model.layers.0.self_attn.q_proj": 5, r"layers.\d+.mlp.down_proj": 9, "_proj": 99, "v_pro": 8})
adapter("saved", "llama", target_modules=attention, modules_to_save=["embed_tokens", "lm_head", "norm"])
adapter("saved-tied", "tied", target_modules=attention, modules_to_save=["embed_tokens"])
adapter("saved-tied-both", "tied", target_modules=attention, modules_to_save=["embed_tokens"], ensure_weight_tying=True)
adapter("saved-tied-head", "tied", target_modules=attention, modules_to_save=["lm_head"])
adapter("embedding", "llama", target_modules=["q_proj", "embed_tokens", "lm_head"])
adapter("embedding-tied", "tied", target_modules=["q_proj", "embed_tokens"])
adapter("embedding-tied-both", "tied", target_modules=["q_proj", "embed_tokens"], ensure_weight_tying=True)
adapter("head-tied", "tied", target_modules=["q_proj", "lm_head"])
adapter("tokens", "llama", target_modules=attention, trainable_token_indices=[3, 20, 26])
adapter("tokens-tied", "tied", target_modules=attention, trainable_token_indices={"embed_tokens": [26, 3]})
adapter("lora-bias", "llama", target_modules=["q_proj", "down_proj"], lora_bias=True)
adapter("bias-all", "llama", target_modules=["q_proj", "up_proj"], bias="all")
adapter("bias-lora-only", "tied", target_modules=attention, bias="lora_only")
adapter("parameters", "mixtral", target_modules=attention,
        target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"], rank_pattern={"experts.down_proj": 3})
adapter("parameters-down", "mixtral", target_modules=[], target_parameters=["experts.down_proj", "gate.weight"])
adapter("resized", "llama", before=lambda model: model.resize_token_embeddings(31, mean_resizing=False),
        target_modules=attention)
adapter("resized-tied", "tied", before=lambda model: model.resize_token_embeddings(31, mean_resizing=False),
        target_modules=attention)
save_file(expected, "expected.safetensors")
