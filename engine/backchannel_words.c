/* Words that ask for nothing, per language. A word that stops somebody in any language is in none
 * of the lists: "no" is missing everywhere, and so is the German "halt". */
#include "engine/backchannel.h"

static const char *const any[] = {"hm",    "hmm",    "hmmm",   "mh",   "mhm", "mhmm", "mm", "mmm",
                                  "mm hm", "mm hmm", "uh huh", "uhuh", "uh",  "um",   "ah", "aha",
                                  "oh",    "ok",     "okay",   "o k",  "yep", "yup",  ""};
static const char *const english[] = {
    "yes",     "yeah",      "right",   "sure",   "i see",  "got it",    "all right",
    "alright", "of course", "exactly", "true",   "indeed", "fine",      "good",
    "great",   "cool",      "nice",    "really", "wow",    "oh really", ""};
static const char *const german[] = {"ja",     "jaja",    "genau",  "stimmt", "klar",
                                     "gut",    "richtig", "ach so", "achso",  "verstehe",
                                     "ach ja", "na klar", ""};
static const char *const french[] = {"oui",   "ouais",      "d'accord", "bien",   "bien sûr",
                                     "voilà", "exactement", "je vois",  "ah bon", ""};
static const char *const spanish[] = {"sí", "si",     "vale",   "claro",      "bueno",
                                      "ya", "ya veo", "exacto", "de acuerdo", ""};
static const char *const italian[] = {"sì", "certo", "va bene", "esatto", "giusto", "capisco", ""};
static const char *const portuguese[] = {"sim", "certo", "claro", "tá", "tá bom", "entendi", ""};
static const char *const japanese[] = {"はい", "うん",       "ええ",     "へえ",
                                       "そう", "そうですね", "なるほど", ""};

const char *const *const backchannel_words[] = {any,     english,    german,   french, spanish,
                                                italian, portuguese, japanese, NULL};
