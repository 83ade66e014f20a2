#!/usr/bin/env python3
"""Compares transcripts of a corpus of tools/make_corpus.py with its times: CORPUS JSON_FOLDER.

JSON_FOLDER has what `runnel transcribe --output-format json` wrote of CORPUS/long. A sentence is
found when a segment overlaps it by more than half; it is in time when its start and its end are
within 100 ms. Words count where a segment has all the words of its sentence. Prints one line of
JSON.
"""
import json
import pathlib
import re
import statistics
import sys


def plain(text):
    return re.sub(r"[^a-z0-9' ]", "", text.lower()).split()


def overlap(a, b):
    return min(a["end"], b["end"]) - max(a["start"], b["start"])


def main():
    corpus, results = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    found = in_time = count = exact = 0
    starts, ends, words = [], [], []
    for line in (corpus / "long.jsonl").read_text().splitlines():
        truth = json.loads(line)
        name = pathlib.Path(truth["audio_filepath"]).stem
        segments = json.loads((results / f"{name}.json").read_text())["segments"]
        for sentence in truth["sentences"]:
            count += 1
            best = max(segments, key=lambda s: overlap(s, sentence), default=None)
            if best is None or overlap(best, sentence) < (sentence["end"] - sentence["start"]) / 2:
                continue
            found += 1
            start, end = best["start"] - sentence["start"], best["end"] - sentence["end"]
            starts.append(start)
            ends.append(end)
            in_time += abs(start) <= 0.1 and abs(end) <= 0.1
            if plain(best["text"]) != plain(sentence["text"]):
                continue
            exact += 1
            for heard, word in zip(best["words"], sentence["words"] or []):
                words.append(heard["start"] - word["start"])

    def quantiles(values):
        q = statistics.quantiles(values, n=20)
        return {"5 %": round(q[0], 3), "median": round(q[9], 3), "95 %": round(q[18], 3)}

    print(json.dumps({
        "sentences": count, "found": found, "exact text": exact, "in time": in_time / count,
        "start": quantiles(starts), "end": quantiles(ends), "words": len(words),
        "word start error, median": round(statistics.median(map(abs, words)), 4),
        "word start error, 90 %": round(statistics.quantiles(map(abs, words), n=10)[8], 4)}))


if __name__ == "__main__":
    main()
