"""Evaluates real checkpoints on held-out text and compares the losses with PyTorch's.

    python evaluate.py MOE_TOOL [SHARED]

SHARED (default: ../../../shared, or $MOE_TOOL_SHARED) holds models/ with heldout-losses.json, and corpus/. Every loss must be
within 0.002 nats, with as many sequences as PyTorch scored; bits per byte and perplexity must follow from the loss. Prints a
line for each and ends with 'N passed, N failed'. Skips, saying so, without that folder.
"""
import json, math, os, subprocess, sys

tool = os.path.abspath(sys.argv[1])
here = os.path.dirname(os.path.abspath(__file__))
shared = sys.argv[2] if len(sys.argv) > 2 else os.environ.get("MOE_TOOL_SHARED", os.path.join(here, "../../../shared"))
reference = os.path.join(shared, "models/heldout-losses.json")
if not os.path.exists(reference):
    print(f"skipped: there is no {reference}: name the folder that holds models/ and corpus/")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)
expected = json.load(open(reference))
domains = list(next(iter(expected.values())))
models = {os.path.join(shared, "models", name): name for name in expected}
data = [f"--data={d}={os.path.join(shared, 'corpus', d + '.heldout.jsonl')}" for d in domains]
out = subprocess.run([tool, "evaluate", *models, *data, "--length", "128", "--json", "--quiet"], capture_output=True, text=True)
if out.returncode != 0: sys.exit(f"evaluate exits {out.returncode}: {out.stderr}")
passed = failed = 0
for found in json.loads(out.stdout)["models"]:
    name = models[found["model"]]
    for domain in domains:
        ours, theirs = found["domains"][domain], expected[name][domain]
        difference = abs(ours["loss"] - theirs["loss"])
        # The loss over ln 2 and over the bytes of the tokens that are predicted: fewer than the file has, but most of them.
        byte_count = ours["loss"] * ours["tokens"] / math.log(2) / ours["bits_per_byte"]
        good = (
            difference <= 0.002 and ours["tokens"] == theirs["sequences"] * 127
            and abs(ours["perplexity"] - math.exp(ours["loss"])) < 1e-6 * ours["perplexity"]
            and 0.97 * theirs["bytes"] < byte_count < theirs["bytes"]
        )
        passed, failed = passed + good, failed + (not good)
        print(f"{'ok' if good else 'FAILED'} {name} on {domain}: {ours['loss']:.5f}, PyTorch {theirs['loss']:.5f}, "
              f"{ours['bits_per_byte']:.4f} bits per byte, {ours['tokens_per_second']:.0f} tokens/s")
    mean = sum(found["domains"][d]["loss"] for d in domains) / len(domains)
    good = abs(found["mean"]["loss"] - mean) < 1e-9
    passed, failed = passed + good, failed + (not good)
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
