"""Writes a mistral-shaped BF16 checkpoint of 1.1 B parameters (2.2 GB) in shards, with nothing but the standard library.

    python make_checkpoint.py OUT [SEED]

Values are normal with standard deviation 0.02; they repeat after 4 Mi of them, which no copy can tell.
"""
import json, os, random, shutil, struct, sys

H, I, L, HEADS, KV, V = 2048, 5632, int(os.environ.get("LAYERS", 22)), 32, 4, 32000
out = sys.argv[1]
os.makedirs(out, exist_ok=True)

def bf16(value):
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 & 0xFFFF

random.seed(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
small = struct.pack("<65536H", *(bf16(random.gauss(0, 0.02)) for _ in range(65536)))
block = b"".join(small[k:] + small[:k] for k in range(0, 64 * 254, 254))

tensors = [("model.embed_tokens.weight", [V, H])]
for l in range(L):
    p = f"model.layers.{l}."
    tensors += [(p + "input_layernorm.weight", [H]), (p + "self_attn.q_proj.weight", [H, H]),
                (p + "self_attn.k_proj.weight", [KV * H // HEADS, H]), (p + "self_attn.v_proj.weight", [KV * H // HEADS, H]),
                (p + "self_attn.o_proj.weight", [H, H]), (p + "post_attention_layernorm.weight", [H]),
                (p + "mlp.gate_proj.weight", [I, H]), (p + "mlp.up_proj.weight", [I, H]), (p + "mlp.down_proj.weight", [H, I])]
tensors += [("model.norm.weight", [H]), ("lm_head.weight", [V, H])]

def size(shape):
    n = 2
    for d in shape:
        n *= d
    return n

shards, used = [[]], 0
for t in tensors:
    if used + size(t[1]) > 1_000_000_000:
        shards.append([]); used = 0
    shards[-1].append(t); used += size(t[1])
weight_map = {}
for k, shard in enumerate(shards):
    name = f"model-{k + 1:05}-of-{len(shards):05}.safetensors"
    shard.sort()
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for n, shape in shard:
        header[n] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size(shape)]}
        offset += size(shape); weight_map[n] = name
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(out, name), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for n, shape in shard:
            left = size(shape)
            while left:
                part = block[:left]; f.write(part); left -= len(part)
json.dump({"metadata": {"total_size": sum(size(s) for _, s in tensors)}, "weight_map": weight_map},
          open(os.path.join(out, "model.safetensors.index.json"), "w"), indent=2, sort_keys=True)
json.dump(dict(architectures=["MistralForCausalLM"], model_type="mistral", vocab_size=V, hidden_size=H, intermediate_size=I,
               num_hidden_layers=L, num_attention_heads=HEADS, num_key_value_heads=KV, head_dim=H // HEADS,
               hidden_act="silu", max_position_embeddings=4096, rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=None,
               tie_word_embeddings=False, torch_dtype="bfloat16", bos_token_id=1, eos_token_id=2, pad_token_id=None, initializer_range=0.02,
               attention_dropout=0.0, use_cache=True, transformers_version="4.57.0"),
          open(os.path.join(out, "config.json"), "w"), indent=2)
# mergekit-moe refuses to start without a tokenizer; which one does not matter here.
seed = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Examples/seed")
for name in ("tokenizer.json", "tokenizer_config.json"):
    shutil.copyfile(os.path.join(seed, name), os.path.join(out, name))
print(f"{sum(size(s) for _, s in tensors) // 2:,} parameters in {len(shards)} files")
