"""GGUF files that moe-tool writes, loaded by llama.cpp: its log-probabilities against transformers' logits.

    python gguf.py MOE_TOOL FOLDER [NAME...]

FOLDER holds checkpoints with `expected.safetensors` (`input_ids` [sequences, tokens], `logits`), as transformers computes
them. Each is given a tokenizer of bytes, converted to F32, and run by llama.cpp (package xllamacpp) over beginnings of its
sequences. What moe-tool refuses is told with the reason. Ends with 1 where anything differs by more than
1e-4 (5e-3 where the activation is GELU, which ggml looks up in F16), or does not load.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

def tolerance(source):
    return 5e-3 if '"gelu' in open(os.path.join(source, "config.json")).read() else 1e-4


def tensors(path, names):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        result = {}
        for name in names:
            entry = header[name]
            file.seek(8 + size + entry["data_offsets"][0])
            data = file.read(entry["data_offsets"][1] - entry["data_offsets"][0])
            kind = {"I64": "<i8", "F32": "<f4"}[entry["dtype"]]
            import numpy

            result[name] = numpy.frombuffer(data, kind).reshape(entry["shape"])
        return result


def characters():
    """The characters that stand for the 256 bytes in byte-level vocabularies."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + index) for index in range(len(others))]


def tokenizer(rows):
    """A tokenizer.json without merges, of as many tokens as the embedding has rows."""
    names = (characters() + [f"<extra{index}>" for index in range(max(0, rows - 256))])[:rows]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "vocab": {name: index for index, name in enumerate(names)}, "merges": []},
    }


def convert(tool, source, folder, *options):
    """The GGUF file of a checkpoint with a tokenizer, or what the tool said instead."""
    copy = os.path.join(folder, "model")
    os.makedirs(copy)
    for name in os.listdir(source):
        if not name.startswith("expected"):
            shutil.copy(os.path.join(source, name), copy)
            os.chmod(os.path.join(copy, name), 0o644)
    config = json.load(open(os.path.join(copy, "config.json")))
    rows = config.get("vocab_size") or config["text_config"]["vocab_size"]
    json.dump(tokenizer(rows), open(os.path.join(copy, "tokenizer.json"), "w"))
    output = os.path.join(folder, "model.gguf")
    done = subprocess.run(
        [tool, "convert", copy, "--quiet", "-o", output, *(options or ("--gguf", "F32"))], capture_output=True, text=True)
    return (output, None) if done.returncode == 0 else (None, (done.returncode, done.stderr.strip()))


def run(path, source):
    """The largest difference of log-probabilities over beginnings of the sequences. In a process of its own: it may abort."""
    import numpy
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = 64
    parameters.n_parallel = 1
    parameters.warmup = False
    parameters.n_gpu_layers = 0
    parameters.swa_full = True
    parameters.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(parameters)
    expected = tensors(os.path.join(source, "expected.safetensors"), ["input_ids", "logits"])
    rows = expected["logits"].shape[-1]
    worst = positions = 0
    for ids, logits in zip(expected["input_ids"], expected["logits"]):
        for length in range(1, len(ids) + 1):
            answer = server.handle_completions({
                "prompt": [int(token) for token in ids[:length]], "n_predict": 1, "temperature": 0, "n_probs": rows,
                "cache_prompt": False, "logprobs": rows,
            })
            answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
            if "completion_probabilities" in answer:
                found = answer["completion_probabilities"][0]["top_logprobs"]
            else:
                found = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            row = logits[length - 1].astype(float)
            row = row - row.max() - numpy.log(numpy.exp(row - row.max()).sum())
            for entry in found:
                # Beyond what F32 probabilities resolve, there is nothing to compare.
                if entry["logprob"] > -20:
                    worst = max(worst, abs(entry["logprob"] - row[entry["id"]]))
            positions += 1
    print(json.dumps({"worst": worst, "positions": positions, "entries": len(found)}))


def main(tool, models, names):
    counts = {"passed": 0, "refused": 0, "failed": 0}
    for name in names or sorted(os.listdir(models)):
        source = os.path.join(models, name)
        if not os.path.exists(os.path.join(source, "expected.safetensors")):
            continue
        with tempfile.TemporaryDirectory() as folder:
            path, refusal = convert(tool, source, folder)
            if path is None:
                code, text = refusal
                counts["refused" if code == 4 else "failed"] += 1
                print(f"{name}: {'refused' if code == 4 else f'FAILED ({code})'}: {text[-300:]}", flush=True)
                continue
            child = subprocess.run([sys.executable, __file__, "--run", path, source], capture_output=True, text=True)
            lines = [line for line in child.stdout.splitlines() if line.startswith('{"worst"')]
            if child.returncode != 0 or not lines:
                counts["failed"] += 1
                said = [line for line in child.stderr.splitlines() if "rror" in line or "ASSERT" in line or "missing" in line]
                print(f"{name}: FAILED to run: {' | '.join(said[-4:])[:500]}", flush=True)
                continue
            result = json.loads(lines[-1])
            good = result["worst"] <= tolerance(source) and result["positions"] > 0
            counts["passed" if good else "failed"] += 1
            print(f"{name}: {'ok' if good else 'FAILED'}: {result['worst']:.2g} over {result['positions']} positions", flush=True)
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(*sys.argv[2:4])
        sys.exit(0)
    try:
        import xllamacpp  # noqa: F401
    except ImportError:
        print("skipped: the package xllamacpp is not installed")
        sys.exit(0)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
