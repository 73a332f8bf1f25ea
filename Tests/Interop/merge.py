"""Merges, densifies and prunes with moe-tool, loads the results in transformers and compares.

    python merge.py MOE_TOOL [MODELS]

MODELS holds checkpoints by name (default: ../Fixtures/models). Prints a line for each case and ends with
'N passed, N failed'. Skips, saying so, without torch and transformers; mergekit's part without MERGEKIT_MOE.
"""
import glob, json, logging, os, shutil, subprocess, sys, tempfile
from differences import bound, largest

try:
    import torch, transformers
    from safetensors.torch import load_file, save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as error:
    print(f"skipped: {error}; pip install torch transformers")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
logging.disable(logging.WARNING)
torch.set_num_threads(1)

tool = sys.argv[1]
fixtures = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../Fixtures/models")
work = tempfile.mkdtemp()
passed, failed = 0, 0

def check(name, ok, detail=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(f"{'ok  ' if ok else 'FAIL'} {name} {detail}")

def run(*arguments):
    result = subprocess.run([tool, *arguments], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{arguments}: exit {result.returncode}: {result.stderr[-400:]}")

def load(folder):
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    bad = {k: sorted(v) for k, v in info.items() if v and k in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    assert not bad, bad
    return model.eval()

def logits(folder, ids):
    with torch.no_grad():
        return load(folder)(ids).logits

def tensors(folder):
    out = {}
    for f in glob.glob(folder + "/model*.safetensors"):
        out.update(load_file(f))
    return out

def close(a, b):
    return a.shape == b.shape and (a - b).abs().max().item() <= bound(1e-5, b.abs().max().item())

ids = torch.arange(24)[None] % 90 + 3
METHODS = ["linear", "task-arithmetic", "ties", "dare-linear", "dare-ties", "della", "breadcrumbs", "model-stock", "sce", "base",
           "frozen", "multislerp", "karcher"]
for dense in ["llama", "mistral", "qwen2-tied", "qwen3", "olmo2", "granite", "deepseek-v3-dense"]:
    source = os.path.join(fixtures, dense)
    expected = logits(source, ids)
    for method in METHODS if dense == "mistral" else ["linear"]:
        out = os.path.join(work, f"copies-{dense}-{method}")
        try:
            run("merge", source, source, source, "--base", source, "--average", method, "-o", out, "-q")
            check(f"three copies of {dense}, {method}", close(logits(out, ids), expected))
        except Exception as error:
            check(f"three copies of {dense}, {method}", False, repr(error)[:300])

# Families' dense forms: with top-k = E and equal router rows the mixture's own output is the mean's only for equal
# experts, so what is compared is that the result loads whole and is finite.
for moe in ["mixtral", "qwen2-moe", "qwen2-moe-step2", "qwen3-moe", "flex-olmo", "granitemoe", "olmoe", "gpt-oss",
            "deepseek-v2", "deepseek-v3"]:
    for arguments in [["densify"], ["densify", "--method", "expert:1"], ["prune", "--experts", "2", "--criterion", "random"]]:
        if moe.startswith("deepseek") and arguments[0] == "prune":
            arguments = ["prune", "--experts", "4", "--criterion", "random"]
        name = f"{' '.join(arguments)} {moe}"
        try:
            out = os.path.join(work, name.replace(" ", "-").replace(":", ""))
            run(*arguments, os.path.join(fixtures, moe), "-o", out, "-q")
            check(name, logits(out, ids).isfinite().all())
        except Exception as error:
            check(name, False, repr(error)[:300])

# Pruning away experts that the router never chooses changes nothing.
source = os.path.join(work, "never")
shutil.copytree(os.path.join(fixtures, "gpt-oss"), source)
weights = tensors(source)
for name in weights:
    if name.endswith("router.bias"):
        weights[name][[1, 2]] = -1e4
save_file(weights, source + "/model.safetensors", metadata={"format": "pt"})
run("prune", source, "--criterion", "list:0,3", "-o", source + "-pruned", "-q")
check("experts that are never chosen can go", close(logits(source + "-pruned", ids), logits(source, ids)))

# Vocabularies: two tokenizers trained on different text, each model's rows by token string.
def tokenizer(folder, text, size):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(text, trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    os.makedirs(folder, exist_ok=True)
    t.save(folder + "/tokenizer.json")
    with open(folder + "/tokenizer_config.json", "w") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}, f)
    return t

def resized(folder, t, seed):
    config = json.load(open(os.path.join(fixtures, "mistral/config.json")))
    config["vocab_size"] = t.get_vocab_size()
    json.dump(config, open(folder + "/config.json", "w"))
    weights = tensors(os.path.join(fixtures, "mistral"))
    generator = torch.Generator().manual_seed(seed)
    for name in ["model.embed_tokens.weight", "lm_head.weight"]:
        weights[name] = torch.randn(t.get_vocab_size(), 32, generator=generator)
    save_file(weights, folder + "/model.safetensors", metadata={"format": "pt"})
    return weights

a, b = os.path.join(work, "a"), os.path.join(work, "b")
ta = tokenizer(a, ["the quick brown fox jumps over the lazy dog, the dog sleeps"] * 4, 300)
tb = tokenizer(b, ["le renard brun saute par-dessus le chien paresseux, the dog"] * 4, 290)
wa, wb = resized(a, ta, 1), resized(b, tb, 2)
va, vb = ta.get_vocab(), tb.get_vocab()
refused = subprocess.run([tool, "merge", a, b, "-o", os.path.join(work, "no")], capture_output=True, text=True)
check("different vocabularies are refused", refused.returncode == 4 and "--vocab" in refused.stderr)
for choice in ["base", "union", "intersect"]:
    out = os.path.join(work, f"vocab-{choice}")
    try:
        run("merge", a, b, "--vocab", choice, "-o", out, "-q")
        loaded = AutoTokenizer.from_pretrained(out)
        vocabulary = loaded.get_vocab()
        want = {"base": set(va), "union": set(va) | set(vb), "intersect": set(va) & set(vb)}[choice]
        ok = set(vocabulary) == want
        for name in ["model.embed_tokens.weight", "lm_head.weight"]:
            found = tensors(out)[name]
            ok = ok and found.shape[0] == len(want)
            for token, row in vocabulary.items():
                rows = [w[name][v[token]] for w, v in ((wa, va), (wb, vb)) if token in v]
                mean = sum(r.double() for r in rows) / len(rows)
                ok = ok and torch.equal(found[row], mean.float())
        text = "the dog sleeps, le chien the quick renard"
        ok = ok and loaded.decode(loaded(text)["input_ids"]) == text
        if choice != "intersect":
            ok = ok and (choice != "base" or loaded(text)["input_ids"] == ta.encode(text).ids)
        load(out)
        check(f"--vocab {choice}", ok, f"{len(want)} tokens")
    except Exception as error:
        check(f"--vocab {choice}", False, repr(error)[:300])

# LoRA against PEFT, where it is installed.
try:
    import peft
    base = os.path.join(fixtures, "mistral")
    for rslora in [False, True]:
        model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), peft.LoraConfig(
            r=4, lora_alpha=8, use_rslora=rslora, target_modules=["q_proj", "down_proj", "up_proj"]))
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.data = torch.randn_like(p) * 0.1
        adapter = os.path.join(work, f"adapter-{rslora}")
        model.save_pretrained(adapter)
        with torch.no_grad():
            expected = model(ids).logits
        out = adapter + "-merged"
        run("merge", "--dense", adapter, "--base", base, "-o", out, "-q")
        check(f"LoRA, rslora {rslora}", close(logits(out, ids), expected))
except ImportError:
    print("peft skipped: pip install peft")

# mergekit's configuration for the same merge gives the same experts.
mergekit = os.environ.get("MERGEKIT_MOE") or shutil.which("mergekit-moe")
if mergekit:
    for k in (1, 2):
        variant = os.path.join(work, f"branch{k}")
        shutil.copytree(os.path.join(fixtures, "mistral"), variant)
        w = tensors(variant)
        generator = torch.Generator().manual_seed(k)
        save_file({n: t + 0.02 * torch.randn(t.shape, generator=generator) for n, t in w.items()},
                  variant + "/model.safetensors", metadata={"format": "pt"})
        for f in glob.glob(a + "/tokenizer*"):
            shutil.copy(f, variant)
    config = os.path.join(work, "moe.yml")
    with open(config, "w") as f:
        f.write(f"base_model: {work}/branch1\ngate_mode: random\ndtype: float32\nexperts:\n"
                + "".join(f"  - source_model: {work}/branch{k}\n    residual_scale: {k / 2}\n    positive_prompts: []\n" for k in (1, 2)))
    theirs, ours = os.path.join(work, "theirs"), os.path.join(work, "ours")
    result = subprocess.run([mergekit, config, theirs], capture_output=True, text=True)
    try:
        if result.returncode:
            raise RuntimeError(result.stderr[-300:])
        run("merge", config, "-o", ours, "--layout", "fused", "-q")
        x, y = tensors(theirs), tensors(ours)
        same = [n for n in x if "router" not in n and not n.endswith("mlp.gate.weight")]
        check("mergekit-moe: same tensors but the routers", all(n in y and torch.equal(x[n], y[n]) for n in same) and len(x) == len(y),
              f"{len(same)} tensors")
    except Exception as error:
        check("mergekit-moe", False, repr(error)[:400])
    yaml_tool = os.path.join(os.path.dirname(mergekit), "mergekit-yaml")
    recipes = {
        "linear": "merge_method: linear\nmodels:\n  - model: B1\n    parameters: {weight: [0.2, 0.8]}\n  - model: B2\n    parameters: {weight: 0.5}\n",
        "slerp": "merge_method: slerp\nbase_model: B1\nmodels: [{model: B1}, {model: B2}]\nparameters:\n  t:\n    - filter: self_attn\n      value: [0, 0.5]\n    - value: 0.3\n",
        "task_arithmetic": "merge_method: task_arithmetic\nbase_model: B0\nmodels:\n  - model: B1\n    parameters: {weight: 0.4}\n  - model: B2\n    parameters: {weight: 0.7}\nparameters: {lambda: 0.9}\n",
        "ties": "merge_method: ties\nbase_model: B0\nmodels:\n  - model: B1\n    parameters: {weight: 0.4, density: 0.5}\n  - model: B2\n    parameters: {weight: 0.7, density: 0.3}\n",
        "breadcrumbs": "merge_method: breadcrumbs\nbase_model: B0\nmodels:\n  - model: B1\n    parameters: {weight: 0.4, density: 0.5, gamma: 0.05}\n  - model: B2\n    parameters: {weight: 0.7, density: 0.3, gamma: 0.05}\n",
        "nuslerp": "merge_method: nuslerp\nmodels:\n  - model: B1\n    parameters: {weight: 0.4}\n  - model: B2\n    parameters: {weight: 0.7}\n",
        "multislerp": "merge_method: multislerp\nmodels:\n  - model: B1\n    parameters: {weight: 0.4}\n  - model: B2\n    parameters: {weight: 0.7}\n  - model: B0\n    parameters: {weight: 0.7}\n",
        "karcher": "merge_method: karcher\nmodels: [{model: B1}, {model: B2}, {model: B0}]\n",
        "model_stock": "merge_method: model_stock\nbase_model: B0\nmodels: [{model: B1}, {model: B2}]\n",
    }
    origin = os.path.join(work, "branch0")
    shutil.copytree(os.path.join(fixtures, "mistral"), origin)
    for f in glob.glob(a + "/tokenizer*"):
        shutil.copy(f, origin)
    for name, text in recipes.items():
        path = os.path.join(work, f"{name}.yml")
        with open(path, "w") as f:
            f.write("dtype: float32\n" + "".join([text.replace("B0", work + "/branch0").replace("B1", work + "/branch1").replace("B2", work + "/branch2")]))
        theirs, ours = os.path.join(work, f"{name}-theirs"), os.path.join(work, f"{name}-ours")
        try:
            result = subprocess.run([yaml_tool, path, theirs, "--allow-crimes"], capture_output=True, text=True)
            if result.returncode:
                raise RuntimeError("mergekit: " + result.stderr[-300:])
            run("merge", path, "-o", ours, "-q")
            x, y = tensors(theirs), tensors(ours)
            worst = largest((x[n].double() - y[n].double()).abs().max().item() for n in x)
            check(f"mergekit-yaml {name}", x.keys() == y.keys() and worst < 2e-6, f"largest difference {worst:.1e}")
        except Exception as error:
            check(f"mergekit-yaml {name}", False, repr(error)[:400])
else:
    print("mergekit skipped: name its mergekit-moe in MERGEKIT_MOE")

shutil.rmtree(work)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
