"""Writes questions, a tiny model, and what lm-evaluation-harness makes of the questions with it.

    python make.py

The scoring below is the harness' own (TemplateLM._encode_pair and loglikelihood, HFLM._loglikelihood_tokens,
ConfigurableTask.process_results of version 0.4), written out; the model is a random mistral with 64 positions, so that
truncation is seen, computed by transformers in F32 from BF16 weights; the tokenizers are ../tokenizers.
"""
import json, os
import numpy as np, torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, MistralConfig

here = os.path.dirname(os.path.abspath(__file__))
MAX_LENGTH = 64

QUESTIONS = [
    {"context": "The sky is", "choices": ["blue", "green as grass", "a"], "answer": 0},
    {"context": "Two and two are  ", "choices": ["four", "five", "six or seven"], "answer": "five"},
    {"context": "", "choices": ["yes", "no"], "answer": 1},
    {"context": "Long words " * 40, "choices": ["context", "text that is long", "x", "yy"], "answer": 2},
    {"context": "Q: which?\n", "choices": ["zz top", "abcdefghij", "m"], "answer": 2},
    {"context": "été", "choices": ["日本語の文", "naïve café", "plain", "an answer in many words that is long"], "answer": 0},
    {"context": "def f(x):\n    return", "choices": ["x", "None", "x + 1", "self.value"], "answer": 3},
    {"context": "A", "choices": ["B", "C"], "answer": 0},
]

torch.manual_seed(0)
config = MistralConfig(
    vocab_size=1300, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=MAX_LENGTH, bos_token_id=1, eos_token_id=2, initializer_range=0.3)
model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(torch.bfloat16)
model.save_pretrained(here)
os.remove(os.path.join(here, "generation_config.json"))
# Loaded anew: the rotary frequencies were rounded as well.
model = AutoModelForCausalLM.from_pretrained(here, dtype=torch.float32, attn_implementation="eager").eval()

expected = {}
for name in ["gpt2-style", "mistral-style"]:
    tokenizer = Tokenizer.from_file(os.path.join(here, "../tokenizers", name, "tokenizer.json"))
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids

    def pair(context, continuation):
        n = len(context) - len(context.rstrip())
        if n > 0:
            continuation, context = context[-n:] + continuation, context[:-n]
        whole, before = encode(context + continuation), encode(context)
        return before, whole[len(before):]

    results = []
    for q in QUESTIONS:
        lls = []
        for choice in q["choices"]:
            # Where the context ends in white space, nothing is put between (the harness' target_delimiter "").
            continuation = choice if q["context"][-1:].isspace() else " " + choice
            before, after = ([1], encode(continuation)) if q["context"] == "" else pair(q["context"], continuation)
            ids = (before + after)[-(MAX_LENGTH + 1):][:-1]
            with torch.no_grad():
                logp = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
            rows = logp[len(ids) - len(after):]
            lls.append(float(rows[torch.arange(len(after)), torch.tensor(after)].sum()))
        gold = q["answer"] if isinstance(q["answer"], int) else q["choices"].index(q["answer"])
        lengths = np.array([float(len(c)) for c in q["choices"]])
        results.append({"lls": lls, "acc": int(np.argmax(lls) == gold), "acc_norm": int(np.argmax(lls / lengths) == gold)})
    expected[name] = {
        "results": results, "acc": float(np.mean([r["acc"] for r in results])),
        "acc_norm": float(np.mean([r["acc_norm"] for r in results]))}
    print(name, expected[name]["acc"], expected[name]["acc_norm"])

with open(os.path.join(here, "questions.jsonl"), "w") as f:
    for q in QUESTIONS:
        f.write(json.dumps(q) + "\n")
with open(os.path.join(here, "expected.json"), "w") as f:
    json.dump(expected, f, indent=1)
