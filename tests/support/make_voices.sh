#!/usr/bin/env bash
# Speaks what people and assistants say in the room simulator: make_voices.sh FOLDER
# Debian packages: espeak-ng flite. Writes FOLDER/{ask,cut,say}-VOICE-NUMBER-RATE.wav, 16 bit mono:
# ask what a user asks, cut what interrupts a reply, say what a reply is; and single words as
# FOLDER/{nod,end}-VOICE-WORD-RATE.wav: nod shows that somebody listens, end is meant to end a
# reply. Every run gives the same files.
set -euo pipefail
folder=$1
mkdir -p "$folder"

ask='What is the weather like in Vienna tomorrow?
Turn on the kitchen light, and close the window in the bedroom.
Who are you?
Can you tell me how far it is from here to the airport by train?
Set a timer for twelve minutes.
I would like to know when you open on Saturday, and whether there is parking.
Play something slow, maybe by Schubert.
What is twenty seven plus fifteen?
Please read me the last message.
Yes, the second one.'
cut='Stop, please stop.
Wait a moment, that is not what I meant.
No, I said tomorrow, not today.
Sorry, could you repeat that?
And what about the evening?
Hold on, somebody is at the door.
Okay, thank you, that is enough.
Never mind, I found it myself.'
say='The weather in Vienna tomorrow will be sunny, with a few clouds in the afternoon, and warm.
The next train to the airport leaves in eleven minutes, and a ticket costs four euros and ten.
On Saturday we are open until six. You can park behind the building, but the gate closes early.
I have set a timer for twelve minutes. While you wait, I can read the news, or play some music.'
nod='mhm yes okay right'
end='stop wait no'

speak() { # speak KIND VOICE TEXTS
    local kind=$1 voice=$2 number=0 line
    while IFS= read -r line; do
        case $voice in
        espeak:*)
            local name=${voice#espeak:}
            espeak-ng -v "${name%@*}" -s "${name#*@}" \
                -w "$folder/$kind-${name//[^a-z0-9]/_}-$number-22050.wav" "$line"
            ;;
        flite:*)
            flite -voice "${voice#flite:}" -t "$line" \
                -o "$folder/$kind-${voice#flite:}-$number-16000.wav"
            ;;
        esac
        number=$((number + 1))
    done <<< "$3"
}

# "Mhm" would be spelled: it is given as sounds.
words() { # words KIND VOICE WORDS
    local kind=$1 voice=$2 word
    for word in $3; do
        local name=${voice#*:} sound=$word how=-t
        case $voice:$word in
        espeak:*:mhm) sound='[[m@hm]]' ;;
        flite:*:mhm) sound='pau m hh ah m pau' how=-p ;;
        esac
        case $voice in
        espeak:*)
            espeak-ng -v "${name%@*}" -s "${name#*@}" \
                -w "$folder/$kind-${name//[^a-z0-9]/_}-$word-22050.wav" "$sound"
            ;;
        flite:*)
            flite -voice "$name" "$how" "$sound" -o "$folder/$kind-$name-$word-16000.wav"
            ;;
        esac
    done
}

# A voice, @ the words per minute.
for voice in espeak:en-us@165 espeak:en-us+f2@175 espeak:en-gb+m3@150 espeak:en-gb-scotland+f4@180 \
    flite:slt flite:rms flite:awb flite:kal16; do
    speak ask "$voice" "$ask"
    speak cut "$voice" "$cut"
    words nod "$voice" "$nod"
    words end "$voice" "$end"
done
for voice in espeak:en-us+f3@165 espeak:en-gb@170 flite:slt flite:rms; do
    speak say "$voice" "$say"
done
