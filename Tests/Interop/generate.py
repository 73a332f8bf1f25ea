"""Continues prompts with moe-tool and with transformers, both greedily, and compares the token ids.

    python generate.py MOE_TOOL MODEL...

Each MODEL is a checkpoint with a tokenizer.json. Prints a line for each case and ends with 'N passed, N failed'. Where
the two part, the logits say whether it was a tie: a difference of less than 1e-3 between the two tokens is not a failure.
"""
import json, logging, subprocess, sys

try:
    import torch, transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as error:
    print(f"skipped: {error}; pip install torch transformers")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
logging.disable(logging.WARNING)
torch.set_num_threads(1)

PROMPTS = ["def main(", "The court held that", ".TH ls 1", "for i in range(10):\n    print(", "Licence: GPL", "été 😀 中文"]
tool, models = sys.argv[1], sys.argv[2:]
passed = failed = 0
for folder in models:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for prompt in PROMPTS:
        result = subprocess.run(
            [tool, "generate", folder, "--prompt", prompt, "--temperature", "0", "--max-tokens", "100", "--json"],
            capture_output=True, text=True)
        if result.returncode:
            print("FAIL", folder, repr(prompt), result.stderr[-300:])
            failed += 1
            continue
        ours = json.loads(result.stdout)
        inputs = tokenizer(prompt, return_tensors="pt")
        ids = inputs["input_ids"]
        with torch.no_grad():
            out = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=100,
                pad_token_id=0)[0]
        theirs = out[ids.shape[1]:].tolist()
        ok, detail = ours["prompt_tokens"] == ids[0].tolist(), ""
        if ok and ours["tokens"] != theirs:
            at = next((i for i, (a, b) in enumerate(zip(ours["tokens"], theirs)) if a != b), min(len(theirs), len(ours["tokens"])))
            with torch.no_grad():
                logits = model(out[None, :ids.shape[1] + at]).logits[0, -1]
            gap = logits.max() - logits[ours["tokens"][at]] if at < len(ours["tokens"]) else float("inf")
            ok, detail = gap < 1e-3, f"part at token {at}, logits {float(gap):.6f} apart"
        elif ok:
            text = tokenizer.decode(theirs, skip_special_tokens=True)
            ok, detail = ours["text"] == text, f"{len(theirs)} tokens"
        passed, failed = passed + bool(ok), failed + (not ok)
        print("ok  " if ok else "FAIL", folder, repr(prompt), detail)
print(f"{passed} passed, {failed} failed")
