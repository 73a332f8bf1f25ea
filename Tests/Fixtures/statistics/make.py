"""What a pass over text finds out about experts, computed by numpy from what transformers' blocks see, and the losses of
mixtral's experts under other gatings, with the blocks replaced by torch code that follows the papers.

    python make.py        writes *.safetensors and gatings.json beside itself, from ../models

The text is the fixture's input_ids: the first sequence is the domain "a", the second "b".
"""
import json, os
import numpy as np, torch
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "models")


def tensors(name, file):
    with safe_open(os.path.join(MODELS, name, file), "np") as f:
        return {k: f.get_tensor(k) for k in f.keys() if not k.startswith(("grad.", "aux_grad."))}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def silu(x): return x / (1 + np.exp(-x))


FAMILIES = {
    "mixtral": ("block_sparse_moe", ("w1", "w3", "w2"), True),
    "qwen2-moe": ("mlp", ("gate_proj", "up_proj", "down_proj"), False),
}


def expert(weights, prefix, names, e, x):
    g, u, d = (weights[f"{prefix}.experts.{e}.{n}.weight"].astype(np.float64) for n in names)
    return (silu(x @ g.T) * (x @ u.T)) @ d.T


def block_of(layer): return layer.block_sparse_moe if hasattr(layer, "block_sparse_moe") else layer.mlp


def statistics(name):
    block, names, renormalised = FAMILIES[name]
    weights = tensors(name, "model.safetensors")
    ids = torch.tensor(tensors(name, "expected.safetensors")["input_ids"])
    model = AutoModelForCausalLM.from_pretrained(os.path.join(MODELS, name), dtype=torch.float32).eval()
    seen = {}
    for l, layer in enumerate(model.model.layers):
        block_of(layer).register_forward_pre_hook(lambda m, a, l=l: seen.__setitem__(l, a[0].detach().numpy().astype(np.float64)))
    with torch.no_grad(): model(ids)
    out, measures = {}, {}
    for l, x in seen.items():
        prefix = f"model.layers.{l}.{block}"
        x = x.reshape(-1, x.shape[-1])
        domain = np.repeat([0, 1], ids.shape[1])
        logits = x @ weights[f"{prefix}.gate.weight"].astype(np.float64).T
        p = softmax(logits)
        E, k = p.shape[1], 2
        chosen = np.zeros_like(p)
        np.put_along_axis(chosen, np.argsort(-p, 1)[:, :k], 1, 1)
        gates = p * chosen
        if renormalised: gates /= gates.sum(1, keepdims=True)
        f = np.stack([expert(weights, prefix, names, e, x) for e in range(E)], 1)
        norms = np.linalg.norm(f, axis=2)
        n = np.maximum(chosen.sum(0), 1)
        load = chosen.sum(0) / chosen.sum()
        h = lambda q: float(-(q[q > 0] * np.log(q[q > 0])).sum())
        t = {
            "tokens": np.array([(domain == d).sum() for d in (0, 1)], dtype=np.int64), "frequency": chosen.sum(0),
            "domain_frequency": np.stack([chosen[domain == d].sum(0) for d in (0, 1)]), "gate_mass": gates.sum(0),
            "mean_gate": p.mean(0), "gate_sum": np.array(gates.sum(1).mean()), "coactivation": chosen.T @ chosen,
            "output_norm": (norms * chosen).sum(0) / n, "reap": (norms * gates).sum(0) / n,
            "mean_output": (f * chosen[:, :, None]).sum(0) / n[:, None],
            "mean_input": np.stack([x[domain == d].mean(0) for d in (0, 1)]), "logit_gram": logits.T @ logits,
        }
        if name == "qwen2-moe":
            t["shared_gate"] = np.array((1 / (1 + np.exp(-x @ weights[f"{prefix}.shared_expert_gate.weight"].astype(np.float64).T))).mean())
        out.update({f"layers.{l}.{key}": np.asarray(v, order="C") for key, v in t.items()})
        measures[l] = {
            "entropy_of_mean_gate": h(p.mean(0)), "mean_entropy_of_gate": float(np.mean([h(q) for q in p])),
            "entropy_of_load": h(load), "load_cv": float(load.std() / load.mean()),
            "max_violation": float((load.max() - load.mean()) / load.mean()),
            "dead_experts": [int(e) for e in np.nonzero(load < 1 / (10 * E))[0]],
        }
    save_file(out, os.path.join(HERE, name + ".safetensors"))
    return measures


def gatings():
    """Mean loss of mixtral's fixture under each gating; every sequence by itself."""
    name = "mixtral"
    block, names, _ = FAMILIES[name]
    weights = {k: torch.tensor(v) for k, v in tensors(name, "model.safetensors").items()}
    ids = torch.tensor(tensors(name, "expected.safetensors")["input_ids"])
    model = AutoModelForCausalLM.from_pretrained(os.path.join(MODELS, name), dtype=torch.float32).eval()
    E = 4

    def network(x, w1, w3, w2): return (torch.nn.functional.silu(x @ w1.T) * (x @ w3.T)) @ w2.T

    def run(rule):
        for l, layer in enumerate(model.model.layers):
            prefix = f"model.layers.{l}.{block}"
            w = [torch.stack([weights[f"{prefix}.experts.{e}.{n}.weight"] for e in range(E)]) for n in names]
            def forward(x, *_, prefix=prefix, w=w, **__):
                logits = x @ weights[f"{prefix}.gate.weight"].T
                return torch.stack([rule(x[b], logits[b], w, b) for b in range(len(x))])
            block_of(layer).forward = forward
        with torch.no_grad(): logits = model(ids, output_router_logits=False).logits
        losses = torch.nn.functional.cross_entropy(
            logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none")
        return losses.reshape(len(ids), -1)

    def weighted(gates):  # gates(logits, b) -> [T, E]
        def rule(x, logits, w, b):
            g = gates(logits, b)
            return sum(g[:, e, None] * network(x, w[0][e], w[1][e], w[2][e]) for e in range(E))
        return rule

    def merged(x, w, p): return network(x, *(torch.einsum("e,eij->ij", p, m) for m in w))

    def top(logits, b, k=2):
        values, chosen = torch.topk(logits, k)
        return torch.zeros_like(logits).scatter(1, chosen, torch.softmax(values, 1))

    def expert_choice(logits, b, c=2):
        p = torch.softmax(logits, 1)
        capacity = max(1, len(p) * c // E)
        chosen = torch.zeros_like(p).scatter(0, torch.topk(p, capacity, dim=0).indices, 1)
        return p * chosen

    def only(e): return weighted(lambda logits, b: torch.eye(E)[e].expand(len(logits), E))

    def lory(x, logits, w, b, size=8):
        p, parts = torch.softmax(logits, 1), []
        for s in range(0, len(x), size):
            before = p[max(0, s - size):max(size, s)]
            parts.append(merged(x[s:s + size], w, before.mean(0)))
        return torch.cat(parts)

    single = torch.stack([run(only(e)) for e in range(E)])  # [E, B, T-1]
    past = torch.cumsum(single, 2) - single
    posterior = -torch.logsumexp(torch.log_softmax(-past, 0) - single, 0)
    found = {
        "token-choice": run(weighted(top)), "top-3": run(weighted(lambda l, b: top(l, b, 3))),
        "dense": run(weighted(lambda l, b: torch.softmax(l, 1))), "expert-choice": run(weighted(expert_choice)),
        "domain": run(weighted(lambda l, b: torch.eye(E)[b].expand(len(l), E))), "domain:posterior": posterior,
        "smear": run(lambda x, l, w, b: merged(x, w, torch.softmax(l, 1).mean(0))), "lory:8": run(lory),
    }
    uniform = -torch.logsumexp(-single, 0) + np.log(E)
    return {k: float(v.mean()) for k, v in found.items()} | {
        "experts": [float(v.mean()) for v in single], "uniform": float(uniform.mean())}


def fisher():
    """The mean over the two sequences of the squared gradient of their log likelihood: each expert's sum, and one value."""
    name = "mixtral"
    ids = torch.tensor(tensors(name, "expected.safetensors")["input_ids"])
    model = AutoModelForCausalLM.from_pretrained(os.path.join(MODELS, name), dtype=torch.float32).eval()
    total = {}
    for sequence in ids:
        model.zero_grad()
        logits = model(sequence[None], output_router_logits=False).logits[0, :-1]
        torch.nn.functional.cross_entropy(logits, sequence[1:], reduction="sum").backward()
        for l, layer in enumerate(model.model.layers):
            experts = block_of(layer).experts
            gate_up, down = experts.gate_up_proj.grad, experts.down_proj.grad
            inner = gate_up.shape[1] // 2
            for e in range(len(down)):
                prefix = f"model.layers.{l}.block_sparse_moe.experts.{e}"
                for n, g in (("w1", gate_up[e, :inner]), ("w3", gate_up[e, inner:]), ("w2", down[e])):
                    key = f"{prefix}.{n}.weight"
                    total[key] = total.get(key, 0) + g.double() ** 2 / len(ids)
    return {k: {"sum": float(v.sum()), "at_3_5": float(v[3, 5])} for k, v in total.items()}


if __name__ == "__main__":
    with open(os.path.join(HERE, "measures.json"), "w") as f:
        json.dump({name: statistics(name) for name in FAMILIES}, f, indent=1)
    with open(os.path.join(HERE, "gatings.json"), "w") as f: json.dump(gatings(), f, indent=1)
    with open(os.path.join(HERE, "fisher.json"), "w") as f: json.dump(fisher(), f, indent=1)
