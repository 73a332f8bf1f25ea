"""Loads every checkpoint that Examples/DomainExperts wrote in transformers and compares its held-out losses with those reported.

    python experiment.py OUT

OUT is the folder that run.sh wrote: its report.json has the losses. Text is tokenized by the Hugging Face library from the
tokenizer.json beside each checkpoint. Every loss must be within 0.002 nats, of as many tokens. Prints a line for each and
ends with 'N passed, N failed'. Skips, saying so, without that folder.
"""
import glob, json, os, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Examples/DomainExperts/out")
if not os.path.exists(f"{out}/report.json"):
    print(f"skipped: there is no {out}/report.json: run Examples/DomainExperts/run.sh first")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)
command = json.load(open(f"{out}/report.json"))["command"]
limit = int(command[command.index("--tokens") + 1]) if "--tokens" in command else None
length = int(command[command.index("--length") + 1])
models = json.load(open(f"{out}/report.json"))["result"]["models"]
torch.set_grad_enabled(False)


def documents(folder):
    for path in sorted(glob.glob(f"{folder}/*"), key=os.fsencode):
        if path.endswith(".jsonl"):
            yield from (json.loads(line)["text"] for line in open(path, encoding="utf-8"))
        else:
            yield open(path, encoding="utf-8", newline="").read()


passed = failed = 0
for found in models:
    name = os.path.basename(found["model"])
    if not os.path.exists(f"{out}/{name}/config.json"): continue
    tokenizer = AutoTokenizer.from_pretrained(f"{out}/{name}")
    model, loading = AutoModelForCausalLM.from_pretrained(f"{out}/{name}", dtype=torch.float32, output_loading_info=True)
    model.eval()
    strays = {key: value for key, value in loading.items() if value}
    for domain, ours in found["domains"].items():
        stream = []
        for text in documents(f"{out}/text/heldout/{domain}"):
            stream += [tokenizer.bos_token_id] + tokenizer.encode(text, add_special_tokens=False)
        if limit: stream = stream[:limit]
        windows = torch.tensor(stream[: len(stream) // length * length]).view(-1, length)
        total = 0.0
        for part in windows.split(32):
            logits = model(part).logits[:, :-1]
            total += torch.nn.functional.cross_entropy(logits.flatten(0, 1).double(), part[:, 1:].flatten(), reduction="sum").item()
        count = windows.shape[0] * (length - 1)
        good = abs(total / count - ours["loss"]) <= 0.002 and count == ours["tokens"] and not strays
        passed, failed = passed + good, failed + (not good)
        print(f"{'ok' if good else 'FAILED'} {name} on {domain}: {ours['loss']:.5f}, transformers {total / count:.5f}, "
              f"{ours['tokens']} and {count} tokens {strays or ''}")
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed or not passed else 0)
