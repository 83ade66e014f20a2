"""What a search says, as numbers (look) and as the tables of docs/SEARCH.md (write, insert)."""
import re
import statistics

BEGIN = "<!-- tables of samples/search/run: begin -->"
END = "<!-- tables of samples/search/run: end -->"
OPERATORS = ["skip", "conv", "gqa", "swa", "lin", "ssd"]
TIMES = ["prefill_1k", "prefill_4k", "decode_1k", "decode_4k"]
OBJECTIVES = ("quality", "decode_4k", "memory")


# ---- Fronts

def operators(x):
    return [OPERATORS[int(gene[0])] for gene in x["genome"].split("-")]


def share(x, name):
    own = operators(x)
    return own.count(name) / len(own)


def keeps_limits(x, space, first):
    for name, bound in space["limits"].items():
        most = bound["times_first"] * first[name] if isinstance(bound, dict) else bound
        if (x[name] < most) if name == "recall" else (x[name] > most):
            return False
    return True


def dominates(a, b, names):
    return all(a[m] <= b[m] for m in names) and any(a[m] < b[m] for m in names)


def front_of(rows, names):
    return [x for x in rows if not any(dominates(y, x, names) for y in rows)]


def behind(x, front, names):
    """By how much some member of the front is better in every objective, as a share; <= 0: by none,
    x is on it or beside it."""
    return max((min(x[m] / y[m] - 1 for m in names) for y in front
                if y["genome"] != x["genome"]), default=0.0)


def fast_half(front, speed):
    rows = sorted(front, key=lambda x: x[speed])
    return rows[:(len(rows) + 1) // 2]


def volume(rows, names, reference):
    """What the rows dominate of the box below the reference: slices along the last objective."""
    points = [tuple(x[m] for m in names) for x in rows]
    points = [p for p in points if all(v < r for v, r in zip(p, reference))]
    return sliced(points, reference)


def sliced(points, reference):
    if not points:
        return 0.0
    if len(reference) == 1:
        return reference[0] - min(p[0] for p in points)
    total, points = 0.0, sorted(points, key=lambda p: p[-1])
    for i, p in enumerate(points):
        top = points[i + 1][-1] if i + 1 < len(points) else reference[-1]
        if top > p[-1]:
            total += (top - p[-1]) * sliced([q[:-1] for q in points[:i + 1]], reference[:-1])
    return total


# ---- Numbers

def to_yardstick(rows, ms):
    """Times as multiples of another yardstick, so that two logs compare."""
    out = []
    for x in rows:
        own = rows[0]["measured"]["yardstick_ms"]
        out.append({**x, **{t: x[t] / own[t] * ms[t] for t in TIMES}})
    return out


def chance(first):
    m = first["measured"]
    recall = [x["recall"] for x in m["recall"]]
    bits = [x["bits"] for x in m["text"]]
    return {"recall": recall, "bits": bits,
            "quality": [b + 1 - r for b, r in zip(bits, recall)]}


def curve(rows, space, names):
    reference = [2 * rows[0][m] for m in names]
    box = 1.0
    for r in reference:
        box *= r
    good, out = [], []
    for i, x in enumerate(rows, 1):
        if keeps_limits(x, space, rows[0]):
            good.append(x)
        if i % 10 == 0 or i == len(rows):
            out.append([i, volume(good, names, reference) / box])
    return out


def seconds_of(rows):
    parts = {
        "targets": [x["measured"]["target_seconds"] for x in rows],
        "recall": [r["seconds"] for x in rows for r in x["measured"]["recall"]],
        "text": [r["seconds"] for x in rows for r in x["measured"]["text"]],
    }
    return {"all": sum(x["seconds"] for x in rows),
            **{k: statistics.median(v) for k, v in parts.items()},
            "recall_trainings": len(parts["recall"])}


def compare_hours(again):
    """Of each that was measured twice: how far its ratios to the reference lie apart."""
    rows = []
    for x in again:
        rows.append({"genome": x["genome"],
                     **{t: x["now"][t]["ratio"] / x["then"][t]["ratio"] - 1 for t in TIMES}})
    return rows


def recall_rows(text):
    rows = {}
    for name, seed, value in re.findall(r"(\w+), seed (\d+): recall ([\d.]+)", text):
        rows.setdefault(name, {})[seed] = float(value)
    return rows


def look(space, found, control, given, front, again, recall, about):
    first = found[0]
    names = [n for n in space["objectives"] if n in first and n != "recall"]
    feasible = [x for x in found if keeps_limits(x, space, first)]
    control = to_yardstick(control, first["measured"]["yardstick_ms"])
    both = feasible + [x for x in control if keeps_limits(x, space, first)]
    own = front_of(feasible, names)
    bend = {speed: fast_half(front_of(both, ("quality", speed)), speed)
            for speed in ("decode_1k", "decode_4k")}
    blind = front_of(both, ("loss", "decode_4k", "memory"))
    sighted = front_of(both, OBJECTIVES)
    fast = fast_half(own, "decode_4k")
    return {
        "about": about, "space": space, "evaluations": len(found), "control": len(control),
        "feasible": len(feasible), "chance": chance(first),
        "seconds": {"search": seconds_of(found), "control": seconds_of(control)},
        "front": [{**y, **x, "spread": y["measured"]["spread"], "measured": None}
                  for x in front for y in found if x["genome"] == y["genome"]],
        "volume": {"search": curve(found, space, names), "control": curve(control, space, names)},
        "recall": recall_rows(recall),
        "bend": {"fast": [share(x, "gqa") for x in fast],
                 "re-ranked": {s: [share(x, "gqa") for x in rows] for s, rows in bend.items()}},
        "blind": [operators(x) for x in blind], "sighted": [operators(x) for x in sighted],
        "sighted_recall": [x["recall"] for x in sighted],
        "patterns": [{"name": name, **{k: x[k] for k in ("genome", "quality", "loss", "recall",
                                                         *TIMES, "memory")},
                      "behind": behind(x, own, names),
                      "dominated": any(dominates(y, x, names) for y in own),
                      "feasible": keeps_limits(x, space, first)}
                     for name, x in [("LFM2", first)] + [("LFM3", x) for x in given[:1]]],
        "hours": compare_hours(again),
        "flagged": sum(x["measured"]["raw"][t]["flagged"] for x in found for t in TIMES),
        "again": sum(x["measured"]["raw"][t]["again"] for x in found for t in TIMES),
        "rounds": sum(len(x["measured"]["raw"][t]["rounds"]) for x in found for t in TIMES),
    }


# ---- Words

def table(head, rows):
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(str(c) for c in row) + " |" for row in [head, rule, *rows])


def listed(values, form="{:.3f}"):
    return ", ".join(form.format(v) for v in values)


def percent(v):
    return f"{100 * v:.1f} %"


def write_run(r):
    a, s, c = r["about"], r["seconds"]["search"], r["seconds"]["control"]
    rows = [[what, f"{x['all'] / 60:.0f}", f"{x['targets']:.1f}", f"{x['recall']:.1f}",
             f"{x['text']:.1f}", x["recall_trainings"]]
            for what, x in ((f"search, {r['evaluations']} candidates", s),
                            (f"control, {r['control']}", c))]
    return (f"{a['date']}, {a['cpu']}, {a['processors']} processors, commit {a['commit']}; "
            f"{r['feasible']} of {r['evaluations']} candidates keep the limits. Of "
            f"{r['rounds']} ratios {r['flagged']} stood between references that differ by over "
            f"5 %, after {r['again']} repeats.\n\n"
            + table(["", "minutes", "target, s", "recall, s", "text, s", "recall trainings"], rows)
            + "\n\nSeconds are medians of one target, of one training; trainings go beside each "
              "other.")


def write_chance(r):
    c = r["chance"]
    rows = [[name, *(f"{v:.3f}" for v in c[name]), f"{max(c[name]) - min(c[name]):.3f}"]
            for name in ("recall", "bits", "quality")]
    return table(["LFM2's stack", "seed 0", "seed 1", "seed 2", "range"], rows)


def write_front(r):
    rows = [[x["n"], f"`{x['stack']}`", f"{x['quality']:.3f}", f"{x['loss']:.3f}",
             f"{x['recall']:.2f}", f"{x['decode_4k']:.2f} ± {x['spread']['decode_4k']:.2f}",
             f"{x['prefill_4k']:.0f}", f"{x['memory'] / 1e6:.1f}"]
            for x in sorted(r["front"], key=lambda x: x["quality"])]
    return table(["n", "stack", "quality", "bits a byte", "recall", "decode 4K, ms",
                  "prefill 4K, ms", "memory, MB"], rows)


def write_volume(r):
    control = dict(r["volume"]["control"])
    rows = [[n, f"{v:.4f}", f"{control[n]:.4f}" if n in control else "–"]
            for n, v in r["volume"]["search"]]
    return table(["evaluations", "search", "at random"], rows)


def came(good):
    return "came out" if good else "**did not come out**"


def write_first(r):
    least = {"caca": 0.5, "ccac": 0.5}
    rows, good = [], bool(r["recall"])
    for name, seeds in r["recall"].items():
        low, high = (least[name], 1) if name in least else (0, 0.3)
        met = all(low <= v <= high for v in seeds.values())
        good = good and met
        rows.append([name, *(f"{v:.2f}" for v in seeds.values()),
                     f">= {low}" if name in least else f"<= {high}", "yes" if met else "**no**"])
    if not rows:
        return "1. *Recall separates*: not asked (the tests were not built)."
    seeds = [f"seed {s}" for s in next(iter(r["recall"].values()))]
    return (f"1. *Recall separates*: {came(good)}.\n\n"
            + table(["four blocks", *seeds, "asked", "met"], rows) + "\n")


def write_bend(r):
    b = r["bend"]
    good = all(v <= 1 / 3 for v in b["fast"])
    words = [f"1,024: {listed(b['re-ranked']['decode_1k'], '{:.2f}')}",
             f"4,096: {listed(b['re-ranked']['decode_4k'], '{:.2f}')}"]
    return (f"2. *The bend*: {came(good)}. Shares of full attention in the fast half of the front: "
            f"{listed(b['fast'], '{:.2f}')} (asked: at most 0.33 each). All candidates, the "
            "control's too, ranked by quality and decoding alone, behind "
            f"{'; behind '.join(words)}. A depth of 128 was not measured.")


def write_blind(r):
    def without(stacks):
        return sum("gqa" not in s for s in stacks)

    near = [s for s in r["blind"] if not {"gqa", "lin", "ssd"} & set(s)]
    bare = [s for s in r["sighted"] if "gqa" not in s and "ssd" not in s]
    good = len(near) * 2 > len(r["blind"]) and not bare
    return (f"3. *Without recall*: {came(good)}. The same candidates ranked by bits a byte, "
            f"decoding and memory: {len(near)} of {len(r['blind'])} on the front are convolutions "
            f"and windows alone, {without(r['blind'])} have no full attention. Ranked by quality: "
            f"{without(r['sighted'])} of {len(r['sighted'])} have none, {len(bare)} neither that "
            f"nor a state space; recall on that front: {listed(r['sighted_recall'], '{:.2f}')}. "
            "(Ranked anew, not searched anew.)")


def write_fourth(r):
    s, c = r["volume"]["search"][-1], r["volume"]["control"][-1]
    return ("4. *Search against random*, on the made-up device: in the tests "
            f"(`test_search_evolve`). Here: {s[1]:.4f} after {s[0]} evaluations, at random "
            f"{c[1]:.4f} after {c[0]}: one run of each, nothing is claimed.")


def write_patterns(r):
    rows = [[x["name"], f"{x['quality']:.3f}", f"{x['recall']:.2f}", f"{x['decode_4k']:.2f}",
             f"{x['memory'] / 1e6:.1f}", "yes" if x["feasible"] else "no",
             f"dominated, by {percent(max(x['behind'], 0))} in everything" if x["dominated"]
             else "on it"] for x in r["patterns"]]
    lfm2 = r["patterns"][0]
    good = not lfm2["dominated"] or lfm2["behind"] <= 0.05
    return (f"5. *LFM2's own pattern* on the front or within 5 %: {came(good)}.\n\n"
            + table(["", "quality", "recall", "decode 4K, ms", "memory, MB", "keeps limits",
                     "the front"], rows))


def write_hours(r):
    if not r["hours"]:
        return ""
    rows = []
    for t in TIMES:
        off = sorted(abs(x[t]) for x in r["hours"])
        rows.append([t, percent(statistics.median(off)), percent(off[-1])])
    return (f"\n\n### The same candidates, hours later\n\n{len(r['hours'])} of the front, their "
            "ratios to the reference; asked: a median of 5 % at most, none above 12 %.\n\n"
            + table(["", "median difference", "largest"], rows))


def write(r):
    return (f"### The run\n\n{write_run(r)}\n\n### Chance\n\n{write_chance(r)}\n\n"
            f"### The front\n\n{write_front(r)}\n\n### Hypervolume\n\n"
            f"As a share of the box of twice the first candidate's objectives.\n\n"
            f"{write_volume(r)}\n\n### What came of it\n\n{write_first(r)}\n{write_bend(r)}\n"
            f"{write_blind(r)}\n{write_fourth(r)}\n{write_patterns(r)}{write_hours(r)}\n")


def insert(path, text):
    """Between the marks of the document."""
    old = path.read_text()
    if old.count(BEGIN) != 1 or old.count(END) != 1:
        raise SystemExit(f"{path} has no marks {BEGIN} and {END}")
    head, rest = old.split(BEGIN)
    path.write_text(head + BEGIN + "\n\n" + text + "\n" + END + rest.split(END)[1])
