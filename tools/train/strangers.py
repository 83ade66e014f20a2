"""What minnow does not understand: sentences beside its domain, and other languages.

sentences() makes English ones by template, always the same list; FOREIGN holds a few of eight
languages for espeak-ng to speak. The answer to all of them is one of REFUSALS.
"""

import random
import re

REFUSALS = {
    "noise": "Sorry, I did not catch that.",
    "foreign": "Sorry, I only understand English.",
    "english": "Sorry, I did not understand that.",
}

# Questions and wishes that sound as if they belonged here: {} is filled from SLOTS.
NEAR = """what is the capital of {country}
who is the president of {country}
how far is it to {country}
how many people live in {country}
what language do they speak in {country}
when was {person} born
who was {person}
what did {person} do {when}
where does {person} live
did {person} call me {when}
what is the square root of {big}
what is {big} divided by {small}
how many days are in a {span}
what time is it in {country}
what day is it {when}
how old are you
do you like {food}
can you {verb} a {object}
please {verb} the {object} {when}
i want to {verb} my {object}
where did i put my {object}
turn on the {object}
switch off the {object} please
open the {object}
close the {object} and {verb} it
buy a new {object} {when}
order {food} for two
how do i cook {food}
i would like some {food}
what is for dinner {when}
is there {food} in the fridge
read my {text} to me
write a {text} to {person}
delete the last {text}
translate this {text} into german
what is the news about {topic}
tell me more about {topic}
explain {topic} to me
what do you think about {topic}
why is {topic} so hard
who won the {sport} game {when}
when does the {sport} match begin
how do you play {sport}
i lost my {object} {when}
my {object} does not {verb} any more
the {object} is {state}
why is the {object} so {state}
are the {object}s still {state}
is {person} {state} {when}
i am {state} {when}
we were {state} {when}
she said that the {object} was {state}
nobody knows where the {object} is
they want to {verb} every {object} in {country}
if you {verb} the {object} it will be {state}
he has been {state} since the {sport} match
find a {object} near me
show me pictures of {topic}
record a video of the {object}
take a photo of {person}
what does the word {state} mean
spell the word {object}
sing a song about {topic}
tell me a story about {person}
pay the bill for the {object}
how much does a {object} cost
cancel my order of {food}
check my {text}s
start the {object}
what is wrong with the {object}
and so my friends {verb} the {object}
the history of {topic} is long
please enter your {text} followed by the pound key
press {small} to hear the {text} again
your {text} has been saved
you have {small} new {text}s
the person at this number is {state}
this call may be recorded
all our lines are {state}
please hold while i {verb} the {object}
thank you for calling about the {object}
goodbye and good luck with {topic}
hello my name is {person}
good evening ladies and gentlemen
once upon a time there was a {state} {object}
no i did not {verb} it
yes we will {verb} the {object} {when}
maybe {when}
that is not what i meant
i do not know
never mind
one two three testing
what was that again
could you speak up
be careful with the {object}
it is too {state} in here
let us {verb} something {when}""".split("\n")

SLOTS = {
    key: words.split("|")
    for key, words in {
        "country": "france|germany|japan|brazil|canada|egypt|norway|india|china|peru|kenya|poland",
        "person": "einstein|napoleon|shakespeare|michael|sarah|jennifer|the queen|my uncle|"
        "the teacher|george washington|marie curie|your boss|the neighbor|thomas",
        "when": "yesterday|tomorrow|last week|next month|this evening|in the morning|every day|"
        "last year|right now|at noon|on my birthday|before lunch",
        "big": "one hundred forty four|two thousand|nine hundred and one|eighty one thousand",
        "small": "three|seven|nine|zero|two|eleven",
        "span": "year|month|century|leap year",
        "food": "pizza|chicken soup|pancakes|chocolate|rice and beans|coffee|apple pie|fish and "
        "chips|bananas|spaghetti|cheese",
        "verb": "clean|repair|sell|paint|find|carry|break|borrow|remember|build|push|wash|lift|"
        "bring|describe|measure|copy|hide|connect|download",
        "object": "television|bicycle|computer|refrigerator|washing machine|umbrella|telephone|"
        "jacket|printer|camera|ladder|suitcase|guitar|microwave|engine|blanket|toaster|carpet|"
        "wallet|coffee machine|vacuum cleaner|curtain|dishwasher|mailbox|battery",
        "text": "email|letter|newspaper|password|account number|message from the bank|calendar|"
        "shopping list|report|extension|voice mail|contract",
        "topic": "quantum physics|football|the stock market|politics|gardening|dinosaurs|"
        "the ocean|modern art|space travel|ancient greece|cooking|mathematics|the climate|"
        "fashion|chess",
        "sport": "football|baseball|tennis|hockey|basketball|chess|golf|rugby",
        "state": "broken|empty|expensive|beautiful|tired|hungry|famous|dangerous|invisible|"
        "unavailable|busy|wonderful|ridiculous|dirty|heavy|loud|slippery|impossible|asleep|lonely",
    }.items()
}

# Openings and endings that people put around anything.
BEFORE = ["", "", "", "", "well ", "so ", "listen ", "excuse me ", "i said ", "you know ", "okay "]
AFTER = ["", "", "", "", " please", " or not", " i think", " right", " isn't it", " my dear"]

FOREIGN = {
    "de": "wie spät ist es|ich möchte einen kaffee bitte|morgen fahren wir in den urlaub|"
    "das wetter ist heute sehr schön|können sie mir bitte helfen|wo ist der nächste bahnhof|"
    "mach das licht aus|meine schwester wohnt in hamburg|was kostet die fahrkarte",
    "fr": "quelle heure est il|je voudrais un café s'il vous plaît|il fait très beau aujourd'hui|"
    "où est la gare|demain nous partons en vacances|pouvez vous m'aider|ouvre la fenêtre|"
    "ma soeur habite à lyon|combien coûte le billet",
    "es": "qué hora es|quisiera un café por favor|mañana vamos a la playa|dónde está la estación|"
    "hoy hace mucho calor|me puede ayudar|abre la ventana|mi hermana vive en sevilla|"
    "cuánto cuesta el billete",
    "it": "che ore sono|vorrei un caffè per favore|domani andiamo al mare|dov'è la stazione|"
    "oggi fa molto caldo|può aiutarmi|apri la finestra|mia sorella abita a torino|"
    "quanto costa il biglietto",
    "nl": "hoe laat is het|ik wil graag een kopje koffie|morgen gaan we op vakantie|"
    "waar is het station|het is vandaag mooi weer|kunt u mij helpen|doe het raam open",
    "pl": "która jest godzina|poproszę kawę|jutro jedziemy na wakacje|gdzie jest dworzec|"
    "dzisiaj jest bardzo ciepło|czy może mi pani pomóc|otwórz okno",
    "pt": "que horas são|queria um café por favor|amanhã vamos à praia|onde fica a estação|"
    "hoje está muito calor|pode me ajudar|abra a janela",
    "sv": "vad är klockan|jag vill ha en kopp kaffe tack|imorgon åker vi på semester|"
    "var ligger stationen|det är vackert väder idag|kan du hjälpa mig|öppna fönstret",
}


def sentences(domain, n=4000, seed=23):
    """n English sentences, none of them in the set domain of the user sentences minnow knows."""
    rng = random.Random(seed)
    out = []
    seen = set(domain)
    for tries in range(40 * n):
        if len(out) == n:
            break
        t = rng.choice(NEAR)
        s = re.sub(r"\{(\w+)\}", lambda m: rng.choice(SLOTS[m[1]]), t)
        if rng.random() < 0.15:  # cut off, or two run into one
            w = s.split()
            s = " ".join(w[: rng.randint(2, len(w))] if rng.random() < 0.5 else w[1:])
        s = rng.choice(BEFORE) + s + rng.choice(AFTER)
        if s and s not in seen:
            seen.add(s)
            out.append(s)
    return out


if __name__ == "__main__":
    import corpus

    made = sentences({u for _, u, _ in corpus.pairs()})
    print(len(made), "sentences", sum(len(v.split("|")) for v in FOREIGN.values()), "foreign")
    print("\n".join(made[:20]))
