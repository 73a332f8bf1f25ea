"""Numbers for the optimiser, the router losses and the router's perturbations, by PyTorch: python make.py

Nothing here calls moe-tool. Losses are computed in float64 with autograd, from the formulas of the papers; `hf` is
transformers' own function. Inputs are float32 numbers, so that both sides start from the same.
"""
import math

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

out = {}
torch.manual_seed(5)


# --- AdamW: six steps of a matrix that decays and a vector that does not, clipped at 1 -----------------------------
def adamw():
    matrix = torch.nn.Parameter(torch.randn(9, 13))
    vector = torch.nn.Parameter(torch.randn(11))
    out["adamw.matrix"], out["adamw.vector"] = matrix.detach().clone(), vector.detach().clone()
    optimizer = torch.optim.AdamW(
        [dict(params=[matrix], weight_decay=0.1), dict(params=[vector], weight_decay=0.0)], betas=(0.9, 0.95), eps=1e-8)
    gradients, norms, steps = [], [], []
    for step in range(6):
        for group in optimizer.param_groups:
            group["lr"] = 3e-2 * (step + 1) / 6
        # Some steps are clipped and some are not.
        scale = 0.05 if step % 2 else 1.0
        matrix.grad, vector.grad = torch.randn(9, 13) * scale, torch.randn(11) * scale
        gradients.append(torch.cat([matrix.grad.reshape(-1), vector.grad]))
        norms.append(torch.nn.utils.clip_grad_norm_([matrix, vector], 1.0))
        optimizer.step()
        steps.append(torch.cat([matrix.detach().reshape(-1), vector.detach()]))
    out["adamw.gradients"] = torch.stack(gradients)
    out["adamw.norms"] = torch.stack(norms)
    out["adamw.steps"] = torch.stack(steps)
    out["adamw.first"] = optimizer.state[matrix]["exp_avg"]
    out["adamw.second"] = optimizer.state[matrix]["exp_avg_sq"]


# --- Router losses: two layers of 17 tokens and 6 experts, 2 per token ------------------------------------------
LAYERS, T, E, K, DOMAINS = 2, 17, 6, 2, 3
logits = torch.randn(LAYERS, T, E) * 1.5
raw = torch.randn(LAYERS, T, E)
normals = torch.randn(LAYERS, T, E)
domains = torch.randint(0, DOMAINS, (T,))
NOISE_FLOOR = 1e-2


def counts(p, k):
    return F.one_hot(p.topk(k, -1).indices, E).sum(1).to(p.dtype)  # [tokens, experts]


def switch(z):
    total = 0
    for layer in z:
        p = layer.softmax(-1)
        total = total + E * (counts(p, K).mean(0) / K * p.mean(0)).sum()
    return total


def gshard(z):
    total = 0
    for layer in z:
        p = layer.softmax(-1)
        total = total + (counts(p, 1).mean(0) * p.mean(0)).sum() / E
    return total


def hf(z):
    return load_balancing_loss_func(tuple(z), E, K)


def btx(z):
    total = 0
    for layer in z:
        top = layer.topk(K, -1)
        gates = torch.zeros_like(layer).scatter(-1, top.indices, top.values.softmax(-1))
        total = total + E * (gates.mean(0) * layer.softmax(-1).mean(0)).sum()
    return total


def mutual_information(z):
    total = 0
    for layer in z:
        p = layer.softmax(-1)
        joint = torch.stack([p[domains == d].sum(0) for d in range(DOMAINS)]) / T
        experts, tasks = joint.sum(0), joint.sum(1)
        # Mod-Squad's equation, term by term.
        total = total - (joint * joint.log()).sum() + (tasks * tasks.log()).sum() + (experts * experts.log()).sum()
    return total


def z_loss(z):
    return torch.stack([torch.logsumexp(layer, -1).pow(2).mean() for layer in z]).mean()


def squared_variation(x):
    return x.var(unbiased=False) / x.mean() ** 2


def noisy(z, r, k=K):
    total = 0
    for layer in range(LAYERS):
        deviation = F.softplus(r[layer]) + NOISE_FLOOR
        h = z[layer] + normals[layer].to(z.dtype) * deviation
        top = h.topk(min(k + 1, E), -1)
        gates = torch.zeros_like(h).scatter(-1, top.indices[:, :k], top.values[:, :k].softmax(-1))
        total = total + squared_variation(gates.sum(0))
        if k < E:
            # The k-th largest of the others: for a selected expert the next one, for another one the last selected.
            inside, outside = top.values[:, k:k + 1], top.values[:, k - 1:k]
            threshold = torch.where(h > inside, inside, outside)
            load = torch.distributions.Normal(0, 1).cdf((z[layer] - threshold) / deviation)
            total = total + squared_variation(load.sum(0))
    return total


def record(name, function):
    z = logits.double().requires_grad_()
    value = function(z)
    (gradient,) = torch.autograd.grad(value, z)
    out[name + ".value"], out[name + ".gradient"] = value.detach(), gradient


def losses():
    out["logits"], out["domains"] = logits, domains
    for name, function in (("switch", switch), ("gshard", gshard), ("hf", hf), ("btx", btx), ("z", z_loss),
                           ("mutual-information", mutual_information)):
        record(name, function)
    out["raw"], out["normals"] = raw, normals
    for name, k in (("importance+load", K), ("importance+load-all", E)):
        z, r = logits.double().requires_grad_(), raw.double().requires_grad_()
        value = noisy(z, r, k)
        out[name + ".value"] = value.detach()
        out[name + ".gradient"], out[name + ".raw-gradient"] = torch.autograd.grad(value, (z, r))


# --- Perturbations -------------------------------------------------------------------------------------------------
def perturbations():
    upstream = torch.randn(T, E)
    out["upstream"] = upstream
    z, r = logits[0].double().requires_grad_(), raw[0].double().requires_grad_()
    h = z + normals[0].double() * (F.softplus(r) + NOISE_FLOOR)
    out["noisy.logits"] = h.detach()
    out["noisy.raw-gradient"] = torch.autograd.grad(h, r, upstream.double())[0]

    z = logits[0].double().requires_grad_()
    h = 1.5 * (z - z.mean(-1, keepdim=True)) / z.std(-1, keepdim=True, unbiased=False)
    out["normalised"] = h.detach()
    out["normalised.gradient"] = torch.autograd.grad(h, z, upstream.double())[0]

    # Sample top-1: `normals` serve as the Gumbel draws.
    z = logits[0].double().requires_grad_()
    y = ((z + normals[0].double()) / 0.7).softmax(-1)
    gate, chosen = y.max(-1)
    out["sampled.gate"], out["sampled.expert"] = gate.detach(), chosen
    out["sampled.gradient"] = torch.autograd.grad(gate, z, upstream[:, 0].double())[0]


adamw()
losses()
perturbations()
# A gap between neighbours, so that no selection hangs on rounding.
ordered = logits.sort(-1).values
assert (ordered[..., 1:] - ordered[..., :-1]).min() > 1e-5
save_file({k: (v.float() if v.dim() > 0 and v.is_floating_point() else v).contiguous() for k, v in out.items()}, "losses.safetensors")
print({k: v.item() for k, v in out.items() if k.endswith(".value")})
