"""Which keys of a configuration change what a model computes: asked of transformers, for every fixture model.

Each key is changed alone, the model is loaded with the changed configuration, and its logits on the same tokens are
compared with those of the unchanged one. Changes that another set of tensors would be needed for are left out.

    python make.py          # writes functions.json beside it; transformers 5.24, torch
"""

import copy
import glob
import json
import os
import tempfile

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
here = os.path.dirname(os.path.abspath(__file__))
models = os.path.join(here, "..", "models")
sizes = {
    "hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "moe_intermediate_size", "num_experts", "num_local_experts", "n_routed_experts",
    "shared_expert_intermediate_size", "n_shared_experts", "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim",
    "qk_rope_head_dim", "v_head_dim", "qk_head_dim", "model_type", "architectures", "dtype", "torch_dtype",
    "transformers_version", "tie_word_embeddings",
}

# Numbers that no router can choose with and that go unnoticed there: 8 experts in 3 groups mix tokens, and a sparse mixer
# takes two experts whatever the configuration says.
senseless = {("deepseek-v3", "n_group"), ("phimoe", "num_experts_per_tok")}


def changed(key, value):
    if isinstance(value, bool):
        return not value
    if key in ("sliding_window", "sliding_window_size"):
        return 5
    if isinstance(value, int):
        return value + 1 if key != "num_experts_per_tok" else max(1, value - 1) if value > 1 else value + 1
    if isinstance(value, float):
        return 0.25 if value == 0 else value * 1.5 if value > 1e-3 else value * 1e3
    return None


def logits(folder, config):
    with tempfile.TemporaryDirectory() as other:
        for name in os.listdir(folder):
            if name != "config.json":
                os.symlink(os.path.abspath(os.path.join(folder, name)), os.path.join(other, name))
        json.dump(config, open(os.path.join(other, "config.json"), "w"))
        model, info = AutoModelForCausalLM.from_pretrained(
            other, dtype=torch.float32, attn_implementation="eager", output_loading_info=True,
            experts_implementation="eager")
        if info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"]:
            raise ValueError("other tensors")
        torch.manual_seed(0)
        ids = torch.randint(0, model.config.vocab_size, (2, 24))
        with torch.no_grad():
            return model.eval()(ids).logits


cases = []
for folder in sorted(glob.glob(os.path.join(models, "*"))):
    config = json.load(open(os.path.join(folder, "config.json")))
    try:
        base = logits(folder, config)
        full = AutoConfig.from_pretrained(folder).to_dict()
    except Exception as error:
        print(os.path.basename(folder), "cannot be loaded:", str(error)[:120])
        continue
    name = os.path.basename(folder)
    keys = {key: value for key, value in full.items() if key not in sizes and (name, key) not in senseless}
    for key, value in sorted(keys.items()):
        changes = {}
        if key == "rope_parameters" and isinstance(value, dict):
            for inner, number in value.items():
                numbers = number if isinstance(number, dict) else {inner: number}
                for name, old in numbers.items():
                    new = changed(name, old)
                    if new is None:
                        continue
                    other = copy.deepcopy(value)
                    (other[inner] if isinstance(number, dict) else other)[name] = new
                    changes[f"{key}.{inner}.{name}"] = other
        else:
            new = changed(key, value)
            if new is not None:
                changes[key] = new
        for label, new in changes.items():
            other = copy.deepcopy(config)
            if key == "rope_parameters":
                other.pop("rope_theta", None)
                other.pop("rope_scaling", None)
            other[key] = new
            try:
                difference = (logits(folder, other) - base).abs().max().item()
            except Exception:
                continue
            cases.append({"model": os.path.basename(folder), "key": key, "value": new, "changes": difference > 1e-6})

json.dump(cases, open(os.path.join(here, "functions.json"), "w"), indent=0)
print(len(cases), "cases,", sum(case["changes"] for case in cases), "of them change the logits")
