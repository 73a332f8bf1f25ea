"""Numbers for the merge methods, from the papers' formulas in float64 with numpy: python make.py

Nothing here calls moe-tool. The generator is Philox4x32-10 as Salmon et al. 2011 give it, keyed as KeyedRandom says.
"""
import numpy as np
from safetensors.numpy import save_file

M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b & M32, (a >> 32) ^ c[3] ^ k[1], a & M32]
        k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
    return c


assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]  # the paper's test vector


def spread(v):
    z = (v + 0x9E3779B97F4A7C15) & M64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def uniform(seed, tensor, purpose, count):
    h = 0xCBF29CE484222325
    for byte in seed.to_bytes(8, "little") + tensor.encode() + b"\xff" + purpose.encode():
        h = ((h ^ byte) * 0x100000001B3) & M64
    key = spread(h)
    stream = spread(h ^ spread((seed + 0x9E3779B97F4A7C15) & M64))
    out = []
    for block in range((count + 3) // 4):
        words = philox([block & M32, block >> 32, stream & M32, stream >> 32], [key & M32, key >> 32])
        out += [(w >> 8) * 2.0**-24 for w in words]
    return np.array(out[:count])


def norm(v):
    return np.sqrt((v * v).sum())


def slerp(t, a, b):
    cos = (a / norm(a) * (b / norm(b))).sum()
    if abs(cos) > 0.9995:
        return (1 - t) * a + t * b
    th = np.arccos(cos)
    return np.sin((1 - t) * th) / np.sin(th) * a + np.sin(t * th) / np.sin(th) * b


def nuslerp(t, a, b):
    th = np.arccos(np.clip((a / norm(a) * (b / norm(b))).sum(), -1, 1))
    if abs(np.sin(th)) < 1e-8:
        return (1 - t) * a + t * b
    return (np.sin((1 - t) * th) * a + np.sin(t * th) * b) / np.sin(th)


def multislerp(xs, w):
    w = np.array(w) / sum(w)
    u = [x / norm(x) for x in xs]
    m = sum(wi * ui for wi, ui in zip(w, u))
    m = m / norm(m)
    tangent = sum(wi * (ui - (ui * m).sum() * m) for wi, ui in zip(w, u))
    a = norm(tangent)
    return (m * np.cos(a) + tangent * np.sin(a) / a) * sum(wi * norm(x) for wi, x in zip(w, xs))


def karcher(xs, iterations=10, tol=1e-5):
    u = [x / norm(x) for x in xs]
    m = sum(u) / len(u)
    m = m / norm(m)
    for _ in range(iterations):
        tangent = 0
        for ui in u:
            d = np.clip((m * ui).sum(), -1, 1)
            th = np.arccos(d)
            if th >= tol:
                tangent = tangent + th / np.sin(th) * (ui - d * m) / len(u)
        n = norm(tangent)
        if n < tol:
            break
        m = np.cos(n) * m + np.sin(n) * tangent / n
        m = m / norm(m)
    return m * np.mean([norm(x) for x in xs])


def stock(base, xs):
    d = [x - base for x in xs]
    n = len(d)
    cos = np.mean([(d[i] * d[j]).sum() / (norm(d[i]) * norm(d[j])) for i in range(n) for j in range(i + 1, n)])
    t = n * cos / (1 + (n - 1) * cos)
    return t * sum(xs) / n + (1 - t) * base


def magnitude(d, density, gamma=None):
    """Keeps the largest `density`, without the largest `gamma`; equal magnitudes share their fate."""
    n = d.size
    kept = int(density * n)
    top = min(int(gamma * n), n - kept) if gamma is not None else 0
    order = np.sort(np.abs(d).astype(np.float32).ravel())
    low, high = order[n - kept - top], order[n - top - 1]
    m = np.abs(d).astype(np.float32)
    return d * ((m >= low) & (m <= high))


def bernoulli(d, density, draws, rescale):
    kept = d * (draws.reshape(d.shape) < density)
    if rescale == "paper":
        return kept / density
    return kept * (np.abs(d).sum() / np.abs(kept).sum()) if rescale == "l1" else kept


def magprune(d, density, epsilon, draws, rescale):
    rows = d.reshape(1, -1) if d.ndim == 1 else d
    ranks = np.argsort(np.argsort(np.abs(rows), axis=1, kind="stable"), axis=1, kind="stable")
    p = density - epsilon + ranks / (rows.shape[1] - 1) * 2 * epsilon
    mask = draws.reshape(rows.shape) < p
    kept = rows * mask
    if rescale == "paper":
        kept = kept / p
    if rescale == "l1":
        kept = kept * (np.abs(rows).sum() / np.abs(kept).sum())
    return kept.reshape(d.shape)


def fuse(base, deltas, w, elects, normalises, lam=1.0):
    wd = np.stack([wi * d for wi, d in zip(w, deltas)])
    ws = np.array(w).reshape([-1] + [1] * base.ndim) * np.ones_like(wd)
    if elects:
        sign = np.where(wd.sum(0) >= 0, 1, -1)
        mask = np.sign(wd) == sign
        wd, ws = wd * mask, ws * mask
    total, divisor = wd.sum(0), ws.sum(0)
    if normalises:
        total = total / np.where(divisor == 0, 1, divisor)
    return base + lam * total


def sce(base, xs, share):
    d = np.stack([x - base for x in xs])
    var = d.var(axis=0).astype(np.float32)
    if share < 1:
        k = int((var > 0).sum() * share)
        d = d * (var >= np.sort(var.ravel())[var.size - k])
    e = (d**2).sum(axis=tuple(range(1, d.ndim)))
    e = (e / e.sum()).reshape([-1] + [1] * base.ndim)
    mask = np.sign(d) == np.where(d.sum(0) >= 0, 1, -1)
    divisor = (e * mask).sum(0)
    return base + (d * e * mask).sum(0) / np.where(divisor == 0, 1, divisor)


rng = np.random.default_rng(7)
out, seed = {}, 11
for shape_name, shape in [("matrix", (6, 10)), ("vector", (24,))]:
    base = rng.normal(0, 0.5, shape).astype(np.float32)
    xs = [(base + rng.normal(0, 0.2, shape)).astype(np.float32) for _ in range(3)]
    out[f"{shape_name}.base"] = base
    for i, x in enumerate(xs):
        out[f"{shape_name}.{i}"] = x
    b, x = base.astype(np.float64), [v.astype(np.float64) for v in xs]
    d = [v - b for v in x]
    w = [0.5, 0.3, 0.7]
    draws = [uniform(seed, shape_name, f"drop {i}", b.size) for i in range(3)]
    expected = {
        "linear": sum(wi * v for wi, v in zip(w, x)) / sum(w),
        "slerp": slerp(0.3, x[0], x[1]),
        "nuslerp": nuslerp(w[1] / (w[0] + w[1]), x[0], x[1]),
        "nuslerp-base": b + nuslerp(w[1] / (w[0] + w[1]), d[0], d[1]),
        "multislerp": multislerp(x, w),
        "multislerp-base": b + multislerp(d, w),
        "karcher": karcher(x),
        "model-stock": stock(b, x),
        "task-arithmetic": fuse(b, d, w, False, False, 0.4),
        "ties": fuse(b, [magnitude(v, 0.4) for v in d], w, True, True),
        "dare-linear": fuse(b, [bernoulli(v, 0.4, r, "paper") for v, r in zip(d, draws)], w, False, False),
        "dare-linear-l1": fuse(b, [bernoulli(v, 0.4, r, "l1") for v, r in zip(d, draws)], w, False, False),
        "dare-ties": fuse(b, [bernoulli(v, 0.4, r, "paper") for v, r in zip(d, draws)], w, True, False),
        "della": fuse(b, [magprune(v, 0.4, 0.15, r, "paper") for v, r in zip(d, draws)], w, True, True),
        "della-l1": fuse(b, [magprune(v, 0.4, 0.15, r, "l1") for v, r in zip(d, draws)], w, True, True),
        "della-linear": fuse(b, [magprune(v, 0.4, 0.15, r, "none") for v, r in zip(d, draws)], w, False, False),
        "breadcrumbs": fuse(b, [magnitude(v, 0.4, 0.1) for v in d], w, False, False),
        "breadcrumbs-ties": fuse(b, [magnitude(v, 0.4, 0.1) for v in d], w, True, False),
        "sce": sce(b, x, 0.3),
        "sce-all": sce(b, x, 1.0),
    }
    for key, value in expected.items():
        out[f"{shape_name}.{key}"] = value.astype(np.float32)
save_file(out, "merge.safetensors")
