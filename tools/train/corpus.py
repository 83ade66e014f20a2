"""The domain of minnow: what can be said, and the right answer. Run it for the sizes and a sample.

pairs() is the whole grammar, always the same; split() keeps some user sentences out of training.
What is spoken is in lower-case words, numbers included; a reply is written as a person would.
"""

import random
import re

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


def num(n):
    if n < 0:
        return "minus " + num(-n)
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + ("" if n % 10 == 0 else " " + ONES[n % 10])
    if n < 1000:
        return ONES[n // 100] + " hundred" + ("" if n % 100 == 0 else " " + num(n % 100))
    raise ValueError(n)


PLACES = (
    "home|work|the airport|the station|the hotel|the hospital|the market|the museum|"
    "the library|the beach|the stadium|the nearest gas station|the nearest pharmacy|"
    "the city center|the old town"
).split("|")
PEOPLE = (
    "mom|dad|anna|peter|laura|david|maria|john|susan|robert|my brother|my sister|the office|"
    "the doctor"
).split("|")
MUSIC = (
    "jazz|rock|classical music|the news|some piano|some blues|my playlist|dance music|"
    "folk songs|quiet music"
).split("|")
ROOMS = "kitchen|bedroom|living room|bathroom|garage|garden|hallway|office".split("|")
THINGS = (
    "restroom|elevator|exit|cafe|ticket desk|gift shop|cloak room|parking|first aid room|"
    "information desk|main hall|book store"
).split("|")
WHERE = (
    "on the ground floor|on the first floor|on the second floor|next to the main entrance|"
    "behind the stairs|at the end of the hall|to your left|to your right|"
    "across from the cafe|beside the elevator"
).split("|")
DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday".split("|")
COLORS = "red|green|blue|yellow|white|orange|purple|pink".split("|")
CITIES = "paris|london|rome|berlin|madrid|vienna|tokyo|boston|chicago|denver".split("|")
ANIMALS = "cat|dog|horse|bird|fish|lion|bear|rabbit|mouse|duck".split("|")
WEATHER = {
    c: w
    for c, w in zip(CITIES, "sunny|rainy|warm|windy|hot|snowy|cloudy|cold|foggy|dry".split("|"))
}
THING_AT = {t: WHERE[i % len(WHERE)] for i, t in enumerate(THINGS)}
UNITS = ("minute", "second", "hour")


def cap(s):
    """As a person writes it: names, the word I, and what begins a sentence in capitals."""
    s = s[0].upper() + s[1:]
    for w in DAYS + CITIES + "anna peter laura david maria john susan robert".split():
        s = (" " + s).replace(" " + w, " " + w.capitalize())[1:]
    s = re.sub(r"(?<=[.?!] )[a-z]", lambda m: m[0].upper(), s)
    return re.sub(r"\bi\b", "I", s)


def plural(n, unit):
    return f"{num(n)} {unit}" + ("" if n == 1 else "s")


def pairs():
    """Every (intent, user sentence, reply) that the grammar makes: 4,357."""
    out = []

    def add(intent, users, reply):
        for u in users if isinstance(users, (list, tuple)) else [users]:
            out.append((intent, u, cap(reply)))

    for a in range(0, 51):
        for b in range(0, 21):
            if a + b <= 70:
                add(
                    "add",
                    [f"what is {num(a)} plus {num(b)}"],
                    f"{num(a)} plus {num(b)} is {num(a+b)}.",
                )
            if a >= b:
                add(
                    "sub",
                    [f"what is {num(a)} minus {num(b)}"],
                    f"{num(a)} minus {num(b)} is {num(a-b)}.",
                )
    for a in range(0, 11):
        for b in range(0, 11):
            add(
                "mul",
                [f"what is {num(a)} times {num(b)}"],
                f"{num(a)} times {num(b)} is {num(a*b)}.",
            )
    for t in range(14, 31):
        add(
            "temp",
            [f"set the temperature to {num(t)} degrees", f"make it {num(t)} degrees"],
            f"okay, {num(t)} degrees.",
        )
    for v in range(0, 101, 5):
        add(
            "volume",
            [
                f"set the volume to {num(v) if v < 100 else 'one hundred'} percent",
                f"volume {num(v) if v < 100 else 'one hundred'} percent",
            ],
            f"volume is now {num(v) if v < 100 else 'one hundred'} percent.",
        )
    for n in range(1, 61):
        for u in UNITS:
            add(
                "timer",
                [f"set a timer for {plural(n, u)}", f"wake me in {plural(n, u)}"],
                f"timer set for {plural(n, u)}.",
            )
    for p in PLACES:
        add(
            "navigate",
            [
                f"navigate to {p}" if p != "home" else "navigate home",
                f"take me to {p}" if p != "home" else "take me home",
                f"how do i get to {p}" if p != "home" else "how do i get home",
            ],
            f"starting the route to {p}." if p != "home" else "starting the route home.",
        )
        for n in range(1, 31, 1):
            add(
                "eta",
                [
                    (
                        f"will i reach {p} in {plural(n, 'minute')}"
                        if p != "home"
                        else f"will i be home in {plural(n, 'minute')}"
                    )
                ],
                f"yes, you will arrive in {plural(n, 'minute')}.",
            )
    for p in PEOPLE:
        add("call", [f"call {p}", f"please call {p}", f"make a call to {p}"], f"calling {p}.")
        add("message", [f"send a message to {p}", f"text {p}"], f"what should i say to {p}?")
        for n in range(1, 21):
            add(
                "late",
                [f"tell {p} i am {plural(n, 'minute')} late"],
                f"okay, i told {p} that you are {plural(n, 'minute')} late.",
            )
    for m in MUSIC:
        add("play", [f"play {m}", f"please play {m}", f"i want to hear {m}"], f"playing {m}.")
    for r in ROOMS:
        for s in ("on", "off"):
            add(
                "light",
                [
                    f"turn {s} the {r} light",
                    f"turn the {r} light {s}",
                    f"switch {s} the light in the {r}",
                ],
                f"the {r} light is {s}.",
            )
        for c in COLORS:
            add(
                "color",
                [f"make the {r} light {c}", f"set the {r} light to {c}"],
                f"the {r} light is {c}.",
            )
        for t in range(15, 29):
            add(
                "heat",
                [f"heat the {r} to {num(t)} degrees"],
                f"heating the {r} to {num(t)} degrees.",
            )
    for t, w in THING_AT.items():
        add(
            "where",
            [f"where is the {t}", f"how do i find the {t}", f"show me the {t}"],
            f"the {t} is {w}.",
        )
    for i, d in enumerate(DAYS):
        o, c = (9, 18) if i < 5 else (10, 16)
        if d == "monday":
            add(
                "hours",
                [f"are you open on {d}", f"when do you open on {d}", f"when do you close on {d}"],
                "we are closed on monday.",
            )
        else:
            add(
                "hours",
                [f"are you open on {d}"],
                f"yes, on {d} we are open from {num(o)} to {num(c % 12 or 12)}.",
            )
            add("hours", [f"when do you open on {d}"], f"on {d} we open at {num(o)}.")
            add("hours", [f"when do you close on {d}"], f"on {d} we close at {num(c % 12 or 12)}.")
        for n in range(1, 13):
            add(
                "remind",
                [f"remind me on {d} at {num(n)}", f"set an alarm for {d} at {num(n)}"],
                f"i will remind you on {d} at {num(n)}.",
            )
    for n in range(1, 13):
        add(
            "tickets",
            [
                f"i would like {plural(n, 'ticket')}",
                f"{plural(n, 'ticket')} please",
                f"how much are {plural(n, 'ticket')}",
            ],
            f"{plural(n, 'ticket')} cost{'s' if n == 1 else ''} {num(n*8)} euros.",
        )
    for c in CITIES:
        add(
            "weather",
            [
                f"what is the weather in {c}",
                f"how is the weather in {c} today",
                f"do i need a coat in {c}",
            ],
            f"in {c} it is {WEATHER[c]} today.",
        )
        for d in DAYS:
            add(
                "trip",
                [f"book a train to {c} on {d}", f"i want to go to {c} on {d}"],
                f"a train to {c} on {d}, is that right?",
            )
    for n in range(1, 31):
        if n <= 10:
            add("count", f"count to {num(n)}", ", ".join(num(i) for i in range(1, n + 1)) + ".")
        add("next", [f"what comes after {num(n)}"], f"after {num(n)} comes {num(n+1)}.")
        add("before", [f"what comes before {num(n)}"], f"before {num(n)} comes {num(n-1)}.")
    for a in ANIMALS:
        for c in COLORS:
            add("repeat", [f"say {c} {a}", f"repeat after me {c} {a}"], f"{c} {a}.")
    add(
        "window",
        ["open the window", "please open the window", "roll down the window"],
        "opening the window.",
    )
    add(
        "window",
        ["close the window", "please close the window", "roll up the window"],
        "closing the window.",
    )
    add("door", ["lock the doors", "please lock the doors"], "the doors are locked.")
    add("door", ["unlock the doors", "please unlock the doors"], "the doors are unlocked.")
    add("music", ["stop the music", "please stop the music", "be quiet"], "okay, stopping.")
    add("music", ["next song", "skip this song"], "here is the next song.")
    add("music", ["louder", "turn it up"], "turning it up.")
    add("music", ["quieter", "turn it down"], "turning it down.")
    add("hello", ["hello", "hi there", "good morning", "hey"], "hello! how can i help you?")
    add("bye", ["goodbye", "bye bye", "see you later"], "goodbye, have a nice day!")
    add("thanks", ["thank you", "thanks a lot", "thank you very much"], "you are welcome.")
    add("who", ["who are you", "what is your name"], "i am minnow, a small voice model.")
    add(
        "what",
        ["what can you do", "help me please", "how can you help"],
        "i can answer questions and help you on your way.",
    )
    add("how", ["how are you", "how are you today"], "i am fine, thank you.")
    add("wifi", ["what is the wifi password", "how do i get online"], "the password is blue river.")
    add(
        "price",
        ["how much is the parking", "what does parking cost"],
        "parking costs two euros an hour.",
    )
    add(
        "joke", ["tell me a joke", "make me laugh"], "why did the fish blush? it saw the river bed."
    )
    add(
        "human",
        ["can i talk to a person", "i need to speak to someone"],
        "one moment, i will get someone for you.",
    )
    return [(i, u, r) for i, u, r in out if u and r]


def split(seed=7, held=0.08):
    """(train, held-out): the held-out pairs share no user sentence with train."""
    ps = pairs()
    rng = random.Random(seed)
    users = sorted({u for _, u, _ in ps})
    rng.shuffle(users)
    n = int(len(users) * held)
    hold = set(users[:n])
    fixed = {
        "hello",
        "bye",
        "thanks",
        "who",
        "what",
        "how",
        "wifi",
        "price",
        "joke",
        "human",
        "window",
        "door",
        "music",
        "count",
        "where",
        "hours",
        "weather",
    }
    tr = [p for p in ps if p[1] not in hold or p[0] in fixed]
    ho = [p for p in ps if p[1] in hold and p[0] not in fixed]
    return tr, ho


if __name__ == "__main__":
    ps = pairs()
    tr, ho = split()
    words = sorted({w.strip(",.?!") for _, u, r in ps for w in (u + " " + r.lower()).split()})
    print(
        len(ps),
        "pairs",
        len({u for _, u, _ in ps}),
        "users",
        len({r for *_, r in ps}),
        "replies",
        len(words),
        "words",
        len(tr),
        len(ho),
    )
    rng = random.Random(1)
    for p in rng.sample(ps, 12):
        print(p)
