"""Writes questions, a tiny model, and what lm-evaluation-harness 0.4.13 makes of the questions with it.

    python make.py

The log-likelihoods are those of the harness' own HFLM in F32, for the arguments that its multiple-choice tasks make
(`target_delimiter` and the choice after the context), and the shares those of its process_results, written out; the model is
a random mistral with 64 positions, so that truncation is seen; the tokenizers are ../tokenizers, by themselves and with a
template that puts the first token before a text.
"""
import json, os
import numpy as np, torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, MistralConfig, PreTrainedTokenizerFast

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
    {"context": "spaces \u00a0\u3000", "choices": [" led", "\tby", "others"], "answer": 1},
    {"context": "ends in \x1c", "choices": ["a control", "one"], "answer": 0},
    {"context": "<s>begun already", "choices": ["so", "no more of it"], "answer": 1},
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

with open(os.path.join(here, "../tokenizers/mistral-style/tokenizer.json")) as f:
    begins = json.load(f)
begins["post_processor"] = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
with open(os.path.join(here, "begins.json"), "w") as f:
    json.dump(begins, f)

expected = {}
for name, path in [("gpt2-style", "../tokenizers/gpt2-style/tokenizer.json"),
                   ("mistral-style", "../tokenizers/mistral-style/tokenizer.json"), ("begins", "begins.json")]:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(here, path))
    # The configuration's ids, which are what begins and ends documents where no file of the tokenizer says it.
    tokenizer.bos_token, tokenizer.eos_token = tokenizer.convert_ids_to_tokens([1, 2])
    harness = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=1, max_length=MAX_LENGTH)
    for delimiter in [" ", ""]:
        results = []
        for number, q in enumerate(QUESTIONS):
            requests = [Instance("loglikelihood", q, (q["context"], delimiter + choice), i)
                        for i, choice in enumerate(q["choices"])]
            lls = [value for value, _ in harness.loglikelihood(requests, disable_tqdm=True)]
            gold = q["answer"] if isinstance(q["answer"], int) else q["choices"].index(q["answer"])
            lengths = np.array([float(len(c)) for c in q["choices"]])
            results.append({
                "lls": lls, "acc": int(np.argmax(lls) == gold), "acc_norm": int(np.argmax(lls / lengths) == gold)})
        expected[name + ("" if delimiter else ", no delimiter")] = {
            "results": results, "acc": float(np.mean([r["acc"] for r in results])),
            "acc_norm": float(np.mean([r["acc_norm"] for r in results]))}

with open(os.path.join(here, "questions.jsonl"), "w") as f:
    for q in QUESTIONS:
        f.write(json.dumps(q) + "\n")
with open(os.path.join(here, "expected.json"), "w") as f:
    json.dump(expected, f, indent=1)
