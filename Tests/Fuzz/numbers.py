#!/usr/bin/env python3
"""Gives every option of every command, every key of every family's configuration, and every number in the other files that
are read, numbers that no run has.

    Tests/Fuzz/numbers.py PROGRAM [options|configs|files] [WORD...]

Each run must end with 0 or one of the documented refusals, within ten seconds: never by a trap (132 to 139), never late.
With words only what contains one of them is run; SHARE=N in the environment runs every N-th from a random one on. Prints what failed, and exits with 1 if anything did.
"""

import concurrent.futures
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEED = ROOT + "/Examples/seed"
MODELS = ROOT + "/Tests/Fixtures/models"
FINE = {0, 2, 3, 4, 5, 6}
VALUES = [
    "0", "-1", "1", "0.5", "2147483648", "4611686018427387904", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "1e18", "1e30", "1e308", "1e400", "nan", "inf", "-inf", "", "1e-400", "5e-324",
]
# Options whose values have a number behind a word, or several numbers.
FORMS = {
    "--init": ["noise:{}", "drop:{}"], "--router": ["random:{}", "uniform:{}"],
    "--layers": ["{}", "every:{}", "first-dense:{}", "0-{}", "{}-{}"],
    "--gating": ["noisy-top-k:{}", "expert-choice:{}", "lory:{}"], "--schedule": ["wsd:{}"],
    "--balance": ["switch:{}", "btx:{}", "loss-free:{}", "mutual-information:{}", "importance+load:{}"],
    "--method": ["expert:{}", "expert:{},{}"], "--criterion": ["list:{}", "list:{},0"],
    "--weights": ["{}", "{},1", "text={}"], "--density": ["{}", "{},1"], "--layout": ["split:{}", "blend:{}"],
    "--constants": ["A={}", "A={},alpha={},B=1,beta=0.2,C=1,gamma=0.2,F=1,d={}"], "--flops": ["{}"],
    "--memory": ["{}", "{}MiB", "{}TB"], "--max-shard-size": ["{}", "{}GB"],
}


class Bench:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.number = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self):
        with open(self.path("text.txt"), "w") as file:
            file.write("The court held that the contract was void. def main(): return 1\n" * 20)
        os.makedirs(self.path("domains"))
        for name in ("a", "b"):
            with open(self.path(f"domains/{name}.txt"), "w") as file:
                file.write(f"Some words of the domain {name}, and a few more.\n" * 20)
        with open(self.path("tasks.jsonl"), "w") as file:
            file.write(json.dumps({"context": "a", "choices": ["b", "c"], "answer": 0}) + "\n")
        with open(self.path("runs.csv"), "w") as file:
            file.write("N,D,E,G,D1,loss\n")
            for i in range(1, 40):
                file.write(f"{10 ** (6 + i % 5)},{10 ** (8 + i % 3) * i},{1 << i % 4},{1 + i % 2},{i}e8,{2 + 10 / i}\n")
        write(self.path("ids.safetensors"), {"input_ids": ("I64", [1, 8], struct.pack("<8q", *range(8)))})
        write(self.path("batches.safetensors"), {"batches": ("I64", [1, 1, 8], struct.pack("<8q", *range(8)))})
        self.check("upcycle", "-e", "2", SEED, "-o", self.path("moe"))
        self.check("merge", SEED, SEED + "/.", "-o", self.path("moe2"), allow=True)
        self.check(
            "evaluate", self.path("moe"), "--data", self.path("domains"), "--length", "16", "--stats", self.path("stats.safetensors"))

    def check(self, *arguments, allow=False):
        run = subprocess.run([self.program, *arguments], capture_output=True, text=True)
        if run.returncode != 0 and not allow:
            sys.exit(f"{arguments}: {run.stderr}")

    def commands(self):
        """A line of each command that works, to which one option is added."""
        p = self.path
        text = ["--data", p("text.txt")]
        train = text + ["--steps", "1", "--length", "16", "--batch-tokens", "16", "--memory", "200MiB"]
        return {
            ("upcycle",): ["-e", "2", SEED], ("densify",): [p("moe")] , ("convert",): [SEED],
            ("merge",): [SEED, SEED + "/.", "--base", SEED + "/../seed"],
            ("prune",): [p("moe"), "-e", "1", "-k", "1", "--stats", p("stats.safetensors")],
            ("inspect",): [SEED], ("compare",): [SEED, p("moe"), "--data", p("text.txt"), "--tokens", "64", "--length", "32"],
            ("finetune",): [p("moe")] + train,
            ("train",): ["--preset", "tiny", "--tokenizer", "bytes"] + train,
            ("distill",): ["--teacher", SEED, "--student", SEED] + train,
            ("evaluate",): [p("moe"), "--data", p("domains"), "--length", "16", "--tokens", "64"],
            ("forward",): [SEED, "--input", p("ids.safetensors")],
            ("generate",): [SEED, "--prompt", "a", "--max-tokens", "2"],
            ("plan", "loss"): ["-N", "1e9", "-D", "1e10", "-E", "8"],
            ("plan", "optimal"): ["--flops", "1e20"], ("plan", "cost"): ["-N", "1e9", "-E", "8"],
            ("plan", "overtrain"): ["--flops", "1e20", "-E", "8"],
            ("plan", "fit"): ["--runs", p("runs.csv"), "--starts", "1", "--bootstrap", "1", "--law", "chinchilla"],
            ("plan", "upcycle"): [SEED, "-e", "4", "--tokens", "1e9", "--sunk-tokens", "1e10"],
            ("tokenizer", "train"): text + ["--vocab-size", "300"],
        }

    def variants(self):
        """Lines whose further options mean something only there, with those options."""
        p = self.path
        numbers = ["--weights", "--density", "--lambda", "--t", "--gamma", "--epsilon", "--select-topk", "--scale"]
        merge = [SEED, SEED + "/.", "--base", SEED + "/../seed", "--average"]
        for method in ("slerp", "nuslerp", "karcher", "ties", "dare-ties", "della", "breadcrumbs", "model-stock", "sce"):
            yield ("merge",), merge + [method], numbers
        yield ("upcycle",), ["-e", "2", "--granularity", "2", SEED], ["--top-k", "--scale", "--experts"]
        yield ("upcycle",), ["-e", "2", "--init", "partition", SEED], ["--top-k", "--scale"]
        yield ("evaluate",), [SEED, "--tasks", p("tasks.jsonl")], ["--batch-tokens", "--memory", "--threads"]
        yield ("prune",), [p("moe"), "-k", "1", "--stats", p("stats.safetensors"), "--merge", "hc"], ["--ratio", "-e"]
        for law in ("yun", "clark-s-base", "joint", "liew-upcycled"):
            yield ("plan", "loss"), ["--law", law, "-N", "1e9", "-D", "1e10"], ["-E", "-D", "-N", "--sunk-tokens", "-G"]

    def option_runs(self):
        dump = json.loads(subprocess.run([self.program, "--experimental-dump-help"], capture_output=True).stdout)

        def find(command, names):
            for name in names:
                command = next(c for c in command["subcommands"] if c["commandName"] == name)
            return command

        lines = [(names, base, None) for names, base in self.commands().items()] + list(self.variants())
        for names, base, only in lines:
            for argument in find(dump["command"], names)["arguments"]:
                if argument["kind"] != "option":
                    continue
                name = argument["preferredName"]
                name = ("--" if name["kind"] == "long" else "-") + name["name"]
                if only and not {("-" if len(n["name"]) == 1 else "--") + n["name"] for n in argument["names"]} & set(only):
                    continue
                if name in ("--output", "--report", "--tensorboard", "--stats"):
                    continue
                spellings = {("--" if n["kind"] == "long" else "-") + n["name"] for n in argument["names"]}
                line = without(list(base), spellings)
                for value in VALUES:
                    for form in FORMS.get(name, []) + ([] if name in FORMS and "{}" in FORMS[name] else ["{}"]):
                        yield [*names, *line, name + "=" + form.replace("{}", value)]

    def config_runs(self):
        """Every number of every configuration, and products of them."""
        for family in sorted(os.listdir(MODELS)):
            with open(f"{MODELS}/{family}/config.json") as file:
                config = json.load(file)
            for key, old in flat(config):
                values = VALUES if not isinstance(old, (str, bool)) else ["4611686018427387904", "-1"]
                for value in values:
                    text = json.dumps(value) if value in ("nan", "inf", "-inf", "") else value
                    folder = self.path(f"config-{self.number}")
                    self.number += 1
                    yield family, key, text, folder

    def run_config(self, item):
        family, key, text, folder = item
        os.makedirs(folder)
        # A copy: a link that leads out of the folder is refused before any number is looked at.
        shutil.copy(f"{MODELS}/{family}/model.safetensors", folder + "/model.safetensors")
        with open(f"{MODELS}/{family}/config.json") as file:
            config = json.load(file)
        assign(config, key, "@@")
        with open(folder + "/config.json", "w") as file:
            file.write(json.dumps(config).replace('"@@"', text))
        failures = []
        for line in (
            ["inspect", folder], ["forward", folder, "--input", self.path("ids.safetensors"), "-o", folder + "/o"],
            ["upcycle", "-e", "2", folder, "-n"], ["densify", folder, "-n"], ["plan", "cost", folder],
            ["plan", "upcycle", "-e", "2", folder],
        ):
            failures += [(f"{family}: {key} = {text}: {' '.join(line[:2])}",) + f for f in self.run(line)]
        shutil.rmtree(folder)
        return failures

    def file_runs(self):
        """Every number of one file of each other kind that is read."""
        with open(ROOT + "/Tests/Fixtures/adapters/saved/adapter_config.json") as file:
            adapter = json.load(file)
        adapter |= {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"q_proj": 3}, "layers_to_transform": [0]}
        adapter["trainable_token_indices"] = [1]
        with open(SEED + "/tokenizer.json") as file:
            tokenizer = json.load(file)
        tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:2]
        tokenizer["model"]["vocab"] = dict(list(tokenizer["model"]["vocab"].items())[:3])
        tokenizer["truncation"] = {"max_length": 8, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}
        settings = {"model_max_length": 512, "added_tokens_decoder": {"0": {"content": "x", "special": True}}}
        with open(ROOT + "/Formats/hardware/h100.json") as file:
            hardware = json.load(file)
        law = {
            "law": "chinchilla", "base": "e", "experts": "unused",
            "constants": {"A": 400, "alpha": 0.34, "B": 410, "beta": 0.28, "E": 1.7},
            "range": {"parameters": [1e6, 8e6], "tokens": [1e8, 4e8]},
        }
        recipe = {
            "merge_method": "ties", "base_model": SEED, "dtype": "bfloat16",
            "models": [{"model": SEED + "/.", "parameters": {"weight": 0.5, "density": [0.5, 1]}}],
            "parameters": {"lambda": 1, "normalize": 1},
        }
        slices = {
            "merge_method": "slerp", "base_model": SEED, "parameters": {"t": [{"filter": "mlp", "value": 0.5}, {"value": 1}]},
            "slices": [{"sources": [{"model": m, "layer_range": [0, 4]} for m in (SEED, SEED + "/.")]}],
        }
        index = {"metadata": {"total_size": 100, "total_parameters": 5}, "weight_map": {}}
        task = {"context": "a", "choices": ["b", "c"], "answer": 0}
        provenance = {"moe-tool": "0.1.0", "steps": [{"command": "merge", "experts_of": ["a", "b"], "seed": 1}], "sources": [{"bytes": 5}]}
        return [
            ("adapter_config.json", adapter, "adapter", [["merge", "--dense", "IN", "--base", ROOT + "/Tests/Fixtures/adapters/llama", "-n"]]),
            ("tokenizer.json", tokenizer, "seed", [["tokenizer", "encode", "IN"], ["inspect", "IN"], ["upcycle", "-e", "2", "IN", "-n"]]),
            ("tokenizer_config.json", settings, "seed", [["tokenizer", "encode", "IN"], ["inspect", "IN"]]),
            ("generation_config.json", {"eos_token_id": [1, 2]}, "seed", [["generate", "IN", "--prompt", "a", "--max-tokens", "1"]]),
            ("moe-tool.json", provenance, "seed", [["convert", "IN", "-n"], ["inspect", "IN"]]),
            ("model.safetensors.index.json", index, "seed", [["inspect", "IN"], ["convert", "IN", "-n"]]),
            ("hardware.json", hardware, None, [["plan", "cost", "-N", "1e9", "-E", "8", "--hardware", "FILE"]]),
            ("law.json", law, None, [
                ["plan", "loss", "--law", "FILE", "-N", "1e9", "-D", "1e10"], ["plan", "optimal", "--law", "FILE", "--flops", "1e20"]]),
            ("recipe.yaml", recipe, None, [["merge", "FILE", "-n"]]), ("recipe.yaml", slices, None, [["merge", "FILE", "-n"]]),
            ("task.jsonl", task, None, [["evaluate", SEED, "--tasks", "FILE"]]),
        ]

    def run_file(self, item):
        (name, document, kind, lines), key, text = item
        self.number += 1
        folder = self.path(f"file-{self.number}")
        if kind:
            shutil.copytree(SEED if kind == "seed" else ROOT + "/Tests/Fixtures/adapters/saved", folder)
        else:
            os.makedirs(folder)
        document = json.loads(json.dumps(document))
        assign(document, key, "@@")
        with open(folder + "/" + name, "w") as file:
            file.write(json.dumps(document).replace('"@@"', text))
        failures = []
        for line in lines:
            found = self.run([{"IN": folder, "FILE": folder + "/" + name}.get(word, word) for word in line])
            failures += [(f"{name}: {key} = {text}: {' '.join(line[:2])}",) + f for f in found]
        shutil.rmtree(folder)
        return failures

    def run_options(self, arguments):
        out = self.path(f"out-{hash(tuple(arguments))}")
        line = list(arguments)
        if line[0] in ("upcycle", "densify", "convert", "merge", "prune", "finetune", "train", "distill", "forward") \
                or line[:2] == ["tokenizer", "train"]:
            line += ["-o", out]
        found = [(" ".join(arguments),) + f for f in self.run(line)]
        for path in (out, out + ".metrics.jsonl"):
            shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.path.exists(path) and os.remove(path)
        return found

    def run(self, arguments):
        try:
            run = subprocess.run(
                [self.program, *arguments], capture_output=True, timeout=10, cwd=self.folder, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return [("later than ten seconds", "")]
        if run.returncode in FINE:
            return []
        return [(f"exit {run.returncode}", run.stderr.decode(errors="replace")[:300])]


def share(items):
    step = int(os.environ.get("SHARE", "1"))
    return items[random.randrange(step)::step]


def without(line, spellings):
    result, skip = [], False
    for word in line:
        if skip:
            skip = False
        elif word in spellings:
            skip = True
        else:
            result.append(word)
    return result


def flat(value, path=()):
    if isinstance(value, dict):
        for key, member in value.items():
            yield from flat(member, path + (key,))
    elif isinstance(value, list):
        for index, member in enumerate(value[:2]):
            yield from flat(member, path + (index,))
    elif path and path[-1] not in ("model_type", "architectures"):
        yield path, value


def assign(config, path, value):
    for key in path[:-1]:
        config = config[key]
    config[path[-1]] = value


def write(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main():
    program, kinds = os.path.abspath(sys.argv[1]), sys.argv[2:3] or ["options", "configs", "files"]
    words = sys.argv[3:]
    workers = int(os.environ.get("WORKERS", "1"))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(program, folder)
        bench.make()
        failures, count = [], 0
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            if "options" in kinds:
                lines = share([x for x in bench.option_runs() if not words or any(w in " ".join(x) for w in words)])
                count += len(lines)
                for found in pool.map(bench.run_options, lines):
                    failures += found
                    for f in found:
                        print(*f, sep="\n    ", flush=True)
            if "files" in kinds:
                items = [
                    (case, key, json.dumps(value) if value in ("nan", "inf", "-inf", "") else value)
                    for case in bench.file_runs() for key, old in flat(case[1]) if not isinstance(old, str) for value in VALUES]
                items = share([x for x in items if not words or any(w in str(x) for w in words)])
                count += len(items)
                for found in pool.map(bench.run_file, items):
                    failures += found
                    for f in found:
                        print(*f, sep="\n    ", flush=True)
            if "configs" in kinds:
                items = share([x for x in bench.config_runs() if not words or any(w in str(x) for w in words)])
                count += len(items)
                for found in pool.map(bench.run_config, items):
                    failures += found
                    for f in found:
                        print(*f, sep="\n    ", flush=True)
        print(f"{count} runs, {len(failures)} failures")
        sys.exit(1 if failures else 0)


main()
