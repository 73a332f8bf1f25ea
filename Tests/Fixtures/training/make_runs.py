"""Writes training runs that the trainer must reproduce, step by step (those of gemma3, lfm2 and qwen3_5_moe; transformers 5.24).

    python make_runs.py ../models runs

Each training/NAME.safetensors holds, for STEPS optimiser steps in float32 on the CPU:
    batches        I64 [STEPS, B, T]   the token ids of each step
    loss           F32 [STEPS]         the cross-entropy before that step's update, mean over B*(T-1) tokens, nats
    aux            F32 [STEPS]         MoE: load-balancing loss (unweighted) before that step's update
    z              F32 [STEPS]         MoE: router z-loss, mean over tokens of logsumexp(router logits)^2, mean over layers
    grad_norm      F32 [STEPS]         global L2 norm of the trained parameters' gradients, before clipping
    final.NAME     F32                 the trained parameters after the last step, by the checkpoint's own names
and NAME.json the hyperparameters. Total loss = loss_scale * (the run's terms as in NAME.json).
"""
import json, os, sys
import torch
from safetensors.torch import save_file, load_file
from transformers import AutoModelForCausalLM
import shutil

B, T, STEPS = 4, 32, 20

def schedule(step, cfg):
    """Linear warm-up over cfg['warmup'] steps, then cosine to cfg['min_lr']. step counts from 0."""
    import math
    if step < cfg["warmup"]:
        return cfg["lr"] * (step + 1) / cfg["warmup"]
    p = (step - cfg["warmup"]) / max(1, STEPS - cfg["warmup"])
    return cfg["min_lr"] + 0.5 * (cfg["lr"] - cfg["min_lr"]) * (1 + math.cos(math.pi * p))

def load(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()

def batches(vocab, seed):
    """A learnable stream: each token is mostly a fixed function of the one before it."""
    g = torch.Generator().manual_seed(seed)
    nxt = torch.randperm(vocab, generator=g)
    x = torch.empty(STEPS, B, T, dtype=torch.long)
    cur = torch.randint(0, vocab, (STEPS, B), generator=g)
    for t in range(T):
        x[:, :, t] = cur
        noise = torch.randint(0, vocab, (STEPS, B), generator=g)
        keep = torch.rand(STEPS, B, generator=g) < 0.85
        cur = torch.where(keep, nxt[cur], noise)
    return x

def zloss(router_logits):
    return torch.stack([torch.logsumexp(r.float(), -1).pow(2).mean() for r in router_logits]).mean()

def by_disk_name(model, source, keep):
    import tempfile; tmp = os.path.join(tempfile.mkdtemp(), "save")
    shutil.rmtree(tmp, ignore_errors=True)
    model.save_pretrained(tmp)
    w = load_file(os.path.join(tmp, "model.safetensors")); shutil.rmtree(tmp)
    return {"final." + n: t for n, t in w.items() if keep(n)}

def run(name, models, out, student, teacher, cfg, keep):
    model = load(os.path.join(models, student))
    ref = load(os.path.join(models, teacher)) if teacher else None
    moe = any("router" in n or ".gate." in n for n, _ in model.named_parameters())
    trained = []
    for n, p in model.named_parameters():
        p.requires_grad_(cfg["train"] == "all" or ("mlp.gate.weight" in n or "router" in n))
        if p.requires_grad: trained.append((n, p))
    decay = [p for n, p in trained if p.dim() >= 2]
    plain = [p for n, p in trained if p.dim() < 2]
    opt = torch.optim.AdamW([dict(params=decay, weight_decay=cfg["weight_decay"]), dict(params=plain, weight_decay=0.0)],
                            lr=cfg["lr"], betas=tuple(cfg["betas"]), eps=cfg["eps"])
    data = batches(model.config.vocab_size, cfg["seed"])
    rec = {k: [] for k in ("loss", "aux", "z", "kl", "grad_norm")}
    for step in range(STEPS):
        for g in opt.param_groups: g["lr"] = schedule(step, cfg)
        ids = data[step]
        res = model(ids, use_cache=False, **(dict(output_router_logits=True) if moe else {}))
        V = res.logits.shape[-1]
        ce = torch.nn.functional.cross_entropy(res.logits[:, :-1].reshape(-1, V), ids[:, 1:].reshape(-1))
        total = cfg["ce"] * ce
        if moe:
            z = zloss(res.router_logits)
            total = total + cfg["aux"] * res.aux_loss + cfg["z"] * z
            rec["aux"].append(res.aux_loss.item()); rec["z"].append(z.item())
        if ref is not None:
            with torch.no_grad():
                t = ref(ids, use_cache=False).logits[:, :-1].reshape(-1, V)
            tau = cfg["temperature"]
            kl = torch.nn.functional.kl_div(torch.log_softmax(res.logits[:, :-1].reshape(-1, V) / tau, -1), torch.log_softmax(t / tau, -1),
                                            log_target=True, reduction="batchmean") * tau * tau
            total = total + cfg["kl"] * kl
            rec["kl"].append(kl.item())
        opt.zero_grad(); total.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for _, p in trained], cfg["clip"])
        rec["loss"].append(ce.item()); rec["grad_norm"].append(norm.item())
        opt.step()
    tensors = {k: torch.tensor(v, dtype=torch.float32) for k, v in rec.items() if v}
    tensors["batches"] = data
    tensors.update(by_disk_name(model, student, keep))
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(out, name + ".safetensors"))
    json.dump(dict(student=student, teacher=teacher, steps=STEPS, **cfg,
                   decay="weight decay on parameters of rank 2 and higher only; clip: torch.nn.utils.clip_grad_norm_",
                   schedule="linear warm-up: lr*(step+1)/warmup; then cosine to min_lr over the remaining steps; step from 0"),
              open(os.path.join(out, name + ".json"), "w"), indent=1)
    print(name, [round(v, 4) for v in rec["loss"]][::4], {k: (round(v[0], 4), round(v[-1], 4)) for k, v in rec.items() if v})

if __name__ == "__main__":
    models, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    base = dict(lr=3e-3, min_lr=3e-4, warmup=4, betas=[0.9, 0.95], eps=1e-8, weight_decay=0.1, clip=1.0, seed=12, ce=1.0, train="all")
    run("gemma3-all", models, out, "gemma3-text", None, base, lambda n: True)
    run("convolution-all", models, out, "lfm2", None, base, lambda n: True)
    run("delta-mixture-all", models, out, "qwen3-5-moe-text", None, dict(base, aux=0.01, z=0.001, lr=1e-4, min_lr=1e-5, seed=14), lambda n: True)
