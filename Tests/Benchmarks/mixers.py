"""Tokens per second of reading and of training, beside transformers on the same cores: models whose tokens are mixed by a
gated short convolution (lfm2), Gated DeltaNet (qwen3_5_text) and Mamba-2 (granitemoehybrid, without experts), in turns.

    python Tests/Benchmarks/mixers.py .build/release/moe-tool [ROUNDS]

Batches of 4 x 256 and of 1 x 2048 random tokens, F32. transformers runs its own torch code, as it does where its kernels for
GPUs are not. Each line is the median over the rounds; a ratio above 1 says that moe-tool is ahead.
"""
import json, os, statistics, subprocess, sys, tempfile, time
import numpy as np, torch
from safetensors.numpy import save_file
from transformers import AutoConfig, AutoModelForCausalLM

tool, rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
steps, vocabulary, hidden, layers = 4, 4096, 512, 6
common = dict(vocab_size=vocabulary, hidden_size=hidden, intermediate_size=1408, num_hidden_layers=layers, num_attention_heads=8,
              num_key_value_heads=4, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0)
def types(mixer): return [mixer] * layers
models = {
    "lfm2": dict(common, layer_types=types("conv"), block_auto_adjust_ff_dim=False),
    "qwen3_5_text": dict(common, layer_types=types("linear_attention"), head_dim=64, linear_num_key_heads=4,
                         linear_num_value_heads=8, linear_key_head_dim=128, linear_value_head_dim=128),
    "granitemoehybrid": dict(common, layer_types=types("linear_attention"), shared_intermediate_size=1408, num_local_experts=0,
                             num_experts_per_tok=0, mamba_n_heads=16, mamba_d_head=64, mamba_d_state=128, mamba_n_groups=1,
                             mamba_expand=2),
}
torch.set_num_threads(os.cpu_count())
work = tempfile.mkdtemp()
generator = np.random.default_rng(1)
peers = {}
for family, settings in models.items():
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings), dtype=torch.float32)
    model.save_pretrained(f"{work}/{family}")
    peers[family] = model

def ours(family, mode, shape, ids):
    model, length = f"{work}/{family}", shape[1]
    if mode == "read":
        ids[0].astype("<u2").tofile(f"{work}/warm.bin"); ids[1:].astype("<u2").tofile(f"{work}/tokens.bin")
        out = json.loads(subprocess.run(
            [tool, "evaluate", model, "--data", f"warm={work}/warm.bin:uint16", "--data", f"x={work}/tokens.bin:uint16", "--length",
             str(length), "--batch-tokens", str(shape[0] * length), "--json", "--quiet"], capture_output=True, text=True, check=True).stdout)
        return out["models"][0]["domains"]["x"]["tokens_per_second"] * length / (length - 1)
    save_file({"batches": ids.astype(np.int64)}, f"{work}/batches.safetensors")
    subprocess.run([tool, "finetune", model, "--train", "all", "--batches", f"{work}/batches.safetensors", "--balance", "none", "--lr",
                    "1e-4", "-o", f"{work}/out", "--force", "--quiet", "--memory", "8GiB"], check=True)
    rates = [json.loads(line)["tokens_per_second"] for line in open(f"{work}/out.metrics.jsonl")]
    return statistics.median(rates[1:])

def theirs(family, mode, shape, ids):
    model = peers[family]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=True)
    times = []
    for batch in torch.from_numpy(ids):
        start = time.perf_counter()
        if mode == "read":
            with torch.no_grad(): model(batch, labels=batch, use_cache=False)
        else:
            model(batch, labels=batch, use_cache=False).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step(); optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    return shape[0] * shape[1] / statistics.median(times[1:])

print(f"{'':36}{'moe-tool':>10}{'transformers':>14}{'ratio':>8}")
for family in models:
    for mode in "read", "train":
        for shape in (4, 256), (1, 2048):
            mine, other = [], []
            for _ in range(rounds):
                ids = generator.integers(3, vocabulary, (steps, *shape), dtype=np.int64)
                mine.append(ours(family, mode, shape, ids)); other.append(theirs(family, mode, shape, ids))
            a, b = statistics.median(mine), statistics.median(other)
            print(f"{family + ', ' + mode + f', {shape[0]} x {shape[1]}':36}{a:10.0f}{b:14.0f}{a / b:8.2f}", flush=True)
