"""Writes each reference checkpoint (../shared/golden/models) anew and has transformers load it whole.

    python Tests/Interop/families.py .build/release/moe-tool [GOLDEN] [NAME...]

Each is converted to itself (every tensor's bytes the same) and, where it is a mixture, written in the fused layout,
pruned, densified, packed and unpacked; dense families are upcycled to those that they can become. What is written must load without a key that is missing, unexpected, of another
shape or newly initialised, and give the logits that moe-tool computes of it, within 1e-4 (of the largest where that is above one). What a family refuses is
listed with its reason.
"""
import os, subprocess, sys, tempfile
import numpy as np, torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

tool = sys.argv[1]
golden = sys.argv[2] if len(sys.argv) > 2 else "../shared/golden/models"
wanted = sys.argv[3:]
if not os.path.isdir(golden):
    print(f"skipped: {golden} is not there"); sys.exit(0)
passed, failed, refused = 0, [], []
TARGETS = {"phi3": ["mixtral"], "hunyuan-v1-dense": ["hunyuan_v1_moe"], "ernie4-5": ["ernie4_5_moe"],
           "granite": ["granitemoe", "granitemoeshared"], "seed-oss": ["glm4_moe"], "qwen3": ["qwen3_moe", "glm4_moe"],
           "llama": ["mixtral", "qwen2_moe"], "mistral": ["mixtral"], "olmo2": ["flex_olmo"], "qwen2-tied": ["qwen2_moe"],
           "cohere2": ["cohere2_moe"], "lfm2": ["lfm2_moe"], "qwen3-5-text": ["qwen3_5_moe_text"]}


def run(*arguments):
    return subprocess.run([tool, *arguments, "--quiet"], capture_output=True, text=True)


def check(name, what, condition, detail=""):
    global passed
    if condition: passed += 1
    else:
        failed.append(f"{name}: {what} {detail}"); print("FAILED", failed[-1])


def loads(name, what, folder, ids):
    """transformers' model of the folder has every weight, and moe-tool's logits."""
    auto = AutoModelForImageTextToText if "-vision" in name else AutoModelForCausalLM
    try:
        model, info = auto.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    except Exception as error:
        check(name, what, False, f"transformers: {type(error).__name__} {error}"[:300]); return
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        check(name, f"{what}: {key}", not info[key], str(sorted(map(str, info[key]))[:4]))
    try:
        with torch.no_grad(): theirs = model.eval()(input_ids=ids, use_cache=False).logits.numpy()
    except Exception as error:
        check(name, what, False, f"transformers cannot run it: {type(error).__name__} {error}"[:300]); return
    with tempfile.TemporaryDirectory() as tmp:
        save_file({"input_ids": ids.numpy()}, f"{tmp}/ids.safetensors")
        ran = run("forward", folder, "--input", f"{tmp}/ids.safetensors", "--output", f"{tmp}/out.safetensors")
        if ran.returncode: check(name, what, False, ran.stderr[:300]); return
        ours = load_file(f"{tmp}/out.safetensors")["logits"]
    distance = float(np.abs(ours - theirs).max() / max(1, np.abs(theirs).max()))
    check(name, f"{what}: logits", distance <= 1e-4, f"differ by {distance}")  # NaN fails


for name in sorted(os.listdir(golden)):
    folder = os.path.join(golden, name)
    if not os.path.isdir(folder) or (wanted and name not in wanted): continue
    ids = torch.from_numpy(load_file(os.path.join(folder, "expected.safetensors"))["input_ids"])
    with tempfile.TemporaryDirectory() as tmp:
        ran = run("convert", folder, "-o", f"{tmp}/same")
        if ran.returncode:
            refused.append(f"{name}: {ran.stderr.strip()[:200]}"); print("REFUSED", refused[-1]); continue
        before, after = load_file(f"{folder}/model.safetensors"), load_file(f"{tmp}/same/model.safetensors")
        check(name, "the same names", before.keys() == after.keys(), str(set(before) ^ set(after)))
        check(name, "the same bytes", all(k in after and before[k].tobytes() == after[k].tobytes() for k in before))
        loads(name, "converted", f"{tmp}/same", ids)
        steps = [("packed", ["convert", "--pack", folder]), ("fused", ["convert", "--layout", "fused", folder]),
                 ("pruned", ["prune", folder, "--ratio", "0.5", "--criterion", "random"]),
                 ("densified", ["densify", folder])]
        for target in TARGETS.get(name, []):
            steps.append((f"upcycled to {target}", ["upcycle", folder, "--experts", "4", "--target", target]))
        for what, arguments in steps:
            ran = run(*arguments, "-o", f"{tmp}/{what}")
            if ran.returncode in (2, 4) and what in ("pruned", "densified", "fused"):
                refused.append(f"{name} {what}: {ran.stderr.strip()[:220]}"); continue
            check(name, what, ran.returncode == 0, ran.stderr[:300])
            if ran.returncode: continue
            if what == "packed":
                ran = run("convert", "--unpack", f"{tmp}/packed", "-o", f"{tmp}/unpacked")
                check(name, "unpacked", ran.returncode == 0, ran.stderr[:300])
                same = ran.returncode == 0 and open(f"{tmp}/unpacked/model.safetensors", "rb").read() == open(f"{tmp}/same/model.safetensors", "rb").read()
                check(name, "unpacked: the same file", same)
                continue
            loads(name, what, f"{tmp}/{what}", ids)
            if what.startswith("upcycled"):
                ran = subprocess.run([tool, "compare", folder, f"{tmp}/{what}", "--exact"], capture_output=True, text=True)
                check(name, f"{what}: the dense function", ran.returncode == 0, (ran.stdout + ran.stderr)[-300:])
for line in refused: print("refused", line)
print(f"{passed} passed, {len(failed)} failed, {len(refused)} refused")
sys.exit(bool(failed))
