"""What transformers' configuration classes assume for keys that are absent: defaults.json, one object for each family.

    python defaults.py      # transformers 5.24
"""

import dataclasses
import glob
import json
import os

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

transformers.logging.set_verbosity_error()
here = os.path.dirname(os.path.abspath(__file__))
result = {}
for path in sorted(glob.glob(os.path.join(here, "..", "..", "..", "Formats", "architectures", "*.json"))):
    family = json.load(open(path))
    name = family["model_type"]
    if name not in CONFIG_MAPPING:
        continue
    cls = CONFIG_MAPPING[name]
    fields = {field.name: field.default for field in dataclasses.fields(cls)}
    made = cls()
    values = {}
    for key in family["defaults"]:
        if key == "rope_theta":
            rope = getattr(made, "rope_parameters", None) or {}
            if isinstance(rope.get("rope_theta"), (int, float)):
                values[key] = rope["rope_theta"]
        elif key in fields and (fields[key] is None or isinstance(fields[key], (bool, int, float, str))):
            # A list that is made of nothing stands for nothing.
            values[key] = [] if fields[key] is None and getattr(made, key, None) == [] else fields[key]
    result[name] = values
json.dump(result, open(os.path.join(here, "defaults.json"), "w"), indent=0)
print(sum(map(len, result.values())), "keys of", len(result), "families")
