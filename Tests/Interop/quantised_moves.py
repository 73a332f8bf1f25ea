"""Moves the experts of quantised checkpoints, and holds what is written to the bytes and to what transformers loads of it.

    python Tests/Interop/quantised_moves.py .build/release/moe-tool FOLDER [NAME...]

FOLDER has one quantised checkpoint to each subfolder, with the values of its weights in expected.safetensors. Every checkpoint
is converted plainly, which must keep every tensor's bytes and the settings. Every mixture loses its first expert: the parts of
those that are left must be the same bytes under their new numbers. Where transformers decodes the format on the processor and
computes the family's experts with it, the pruned folder is loaded and held to the expected values of the experts that are left.
Prints a line for each and ends with 'N passed, N failed'.
"""
import glob, json, os, re, struct, subprocess, sys, tempfile, warnings
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
tool, root, wanted = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
passed = failed = 0


def report(good, text, why=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(f"{'ok' if good else 'FAILED'} {text}{': ' + str(why) if not good else ''}", flush=True)


def run(*arguments):
    done = subprocess.run([tool, *arguments, "--quiet"], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def tensors(folder):
    """Every tensor as it is stored: dtype, shape and bytes."""
    result = {}
    for path in glob.glob(folder + "/*.safetensors"):
        if path.endswith("expected.safetensors"): continue
        data = open(path, "rb").read()
        (length,) = struct.unpack("<Q", data[:8])
        for name, info in json.loads(data[8:8 + length]).items():
            if name == "__metadata__": continue
            begin, end = info["data_offsets"]
            result[name] = (info["dtype"], info["shape"], data[8 + length + begin:8 + length + end])
    return result


def settings(folder):
    config = json.load(open(folder + "/config.json"))
    return config.get("quantization_config") or config.get("quantization")


def moved(before, after, kept, experts):
    """What of the experts is not the same bytes, by name, and how many tensors were held."""
    wrong, count = [], 0
    for name, tensor in after.items():
        number = re.search(r"experts\.(\d+)\.", name)
        if number:
            old = name[:number.start(1)] + str(kept[int(number[1])]) + name[number.end(1):]
            same = before.get(old) == tensor
        elif "experts" in name and ".shared_experts" not in name or "switch_mlp" in name:
            dtype, shape, data = before[name]
            size = len(data) // experts
            same = tensor == (dtype, [len(kept)] + shape[1:], b"".join(data[e * size:(e + 1) * size] for e in kept))
        else:
            continue
        count += 1
        if not same: wrong.append(name)
    return wrong, count


def decoding(folder):
    """How transformers is asked to decode; none where it does not, or not the family's experts."""
    stated = settings(folder)
    method = stated.get("quant_method")
    keep = {k: stated[k] for k in ("weight_block_size", "modules_to_not_convert") if k in stated}
    if method == "fp8": return transformers.FineGrainedFP8Config(dequantize=True, **keep)
    if method == "mxfp4": return transformers.Mxfp4Config(dequantize=True)
    return None


def check_loading(name, folder, out, kept):
    how = decoding(out)
    if how is None: return
    if "ragged" in name:
        print(f"skipped {name}: transformers takes rows / scale rows for the size of blocks, which is wrong of ragged ones")
        return
    try:
        net, info = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, quantization_config=how, output_loading_info=True)
    except Exception as error:
        return report(False, f"{name}: transformers", f"{type(error).__name__}: {str(error)[:200]}")
    strays = {k: v for k, v in info.items() if v}
    state, wrong, count = net.state_dict(), [], 0
    for key, value in load_file(folder + "/expected.safetensors").items():
        parts = re.match(r"(.*\.experts)\.(\d+)\.(\w+)\.weight$", key)
        if parts:
            if int(parts[2]) not in kept: continue
            index = kept.index(int(parts[2]))
            if parts[3] in ("down_proj", "w2"):
                found = state[parts[1] + ".down_proj"][index]
            else:
                both = state[parts[1] + ".gate_up_proj"][index]
                found = both.chunk(2)[parts[3] in ("up_proj", "w3")]
        elif key in state:
            found = state[key]
            if found.shape != value.shape: value = value[kept]
        else:
            continue
        count += 1
        # What is computed in BF16 on the way differs by a rounding.
        if not torch.allclose(found.float(), value.float(), rtol=2 ** -8, atol=0): wrong.append(key)
    report(count and not strays and not wrong, f"{name}: transformers has {count} weights of the pruned model", strays or wrong[:3])


for name in sorted(os.listdir(root)):
    folder = f"{root}/{name}"
    if wanted and name not in wanted or not os.path.exists(folder + "/config.json") or not settings(folder): continue
    with tempfile.TemporaryDirectory() as place:
        before = tensors(folder)
        why = run("convert", folder, "-o", place + "/same")
        # Biases of zeros that the family does not have, which GPTQ's packers write, are left out with a warning.
        needed = {n: t for n, t in before.items() if not n.endswith(".bias") or any(t[2])}
        if why is None and (tensors(place + "/same") != needed or settings(place + "/same") != settings(folder)):
            why = "something is not as it was"
        report(why is None, f"{name}: convert keeps {len(needed)} tensors and the settings", why)
        config = json.load(open(folder + "/config.json"))
        experts = next((config[k] for k in ("num_local_experts", "num_experts", "n_routed_experts") if config.get(k)), None)
        if experts is None: continue
        groups = config.get("n_group") or 1
        # A group is worth its two best experts.
        if config.get("n_group") and experts // groups < 3:
            print(f"skipped {name}: none of its {experts} experts in {groups} groups can go")
            continue
        kept = [e for e in range(experts) if e % (experts // groups)]
        out = place + "/pruned"
        why = run("prune", folder, "--criterion", "list:" + ",".join(map(str, kept)), "--top-k", "1", "-o", out)
        if why:
            report(False, f"{name}: prune", why)
            continue
        wrong, count = moved(before, tensors(out), kept, experts)
        report(count and not wrong, f"{name}: prune copies {count} tensors of experts", wrong[:3] or "there are none")
        check_loading(name, folder, out, kept)
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
