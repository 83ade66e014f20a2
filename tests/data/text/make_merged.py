"""merged-tokenizer.json and merged.json, by Hugging Face's tokenizers (made with 0.23.3):

    python3 make_merged.py      in this folder; the tests do not need it

The tokenizer of tiny/, changed as the official ones are: ignore_merges is false, and two of the
reserved entries are added tokens that are not special."""
import json

from tokenizers import Tokenizer

CHANGED = {"<|reserved_300|>": "python", "<|reserved_301|>": "Mathias"}
TEXTS = [
    "python", " python", "pythonic", "I like python, and Python.", "pythonpython", "pyth", "pytho n",
    "Mathias", "Mathias's mill", "MathiasMathias python", "<|im_start|>user\npython<|im_end|>\n",
    "<|python|>", "<python>", "über python überall", "python\n\n", "12python34", " Runnels",
    "Runnels", " millstone", " millstones", " überall", "The mill and its millstone",
    "<|im_start|>Mathias", "<|im_startpython|>", "pytho\u00f1", "",
]

source = json.load(open("../tiny/tokenizer.json", encoding="utf-8"))
source["model"]["ignore_merges"] = False
for old, new in CHANGED.items():
    number = source["model"]["vocab"].pop(old)
    source["model"]["vocab"][new] = number
    source["added_tokens"].append({"id": number, "content": new, "single_word": False,
                                   "lstrip": False, "rstrip": False, "normalized": True,
                                   "special": False})
source["added_tokens"].sort(key=lambda t: t["id"])
with open("merged-tokenizer.json", "w", encoding="utf-8") as f:
    json.dump(source, f, ensure_ascii=False, separators=(",", ":"))

tokenizer = Tokenizer.from_file("merged-tokenizer.json")
texts = TEXTS + [c["text"] for c in json.load(open("cases.json", encoding="utf-8"))["cases"]]
cases = []
for text in texts:
    case = {"text": text}
    for key, plain in (("ids", False), ("ids_plain", True)):
        tokenizer.encode_special_tokens = plain
        case[key] = tokenizer.encode(text, add_special_tokens=False).ids
    if case["ids_plain"] == case["ids"]:
        del case["ids_plain"]
    cases.append(case)
with open("merged.json", "w", encoding="utf-8") as f:
    f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n")
