/* Rows that several commands take. */
#include "apps/options.h"
#include "audio/file.h"

static const option_row common[] = {
    {.name = "model",
     .letter = 'm',
     .value = "MODEL",
     .help = "bundle, main GGUF, Hugging Face folder, or ORG/NAME[:QUANT]",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(model)},
    {.name = "threads",
     .letter = 't',
     .value = "N",
     .help = "threads to compute with (default: physical cores)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(threads),
     .min = 1,
     .max = RNL_THREAD_CAP},
    {.name = "quiet",
     .letter = 'q',
     .help = "no progress and no times",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(quiet)},
    {.name = "memory",
     .value = "SIZE",
     .help = "most memory for the session (K, M, G)",
     .kind = OPTION_SIZE,
     .offset = OPTION_AT(memory_max)},
    {.name = "context",
     .value = "N",
     .help = "positions of a conversation (default 4096)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(context),
     .min = 64,
     .max = 1 << 20,
     .changes_result = true},
    {.name = "exact",
     .help = "float32 throughout: what meets the reference, slower",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(exact),
     .changes_result = true},
    {.name = "cpu",
     .value = "LEVEL",
     .help = "kernels of this level: scalar, avx2, avx512, neon, ...",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(cpu),
     .changes_result = true},
    {.name = "mmproj",
     .value = "FILE",
     .help = "encoder file of a GGUF set",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(mmproj)},
    {.name = "vocoder",
     .value = "FILE",
     .help = "depthformer file of a GGUF set",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(vocoder)},
    {.name = "tokenizer",
     .value = "FILE",
     .help = "detokenizer file of a GGUF set",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(tokenizer)},
};
const option_list options_common = OPTION_LIST(common);

static const option_row output[] = {
    {.name = "output",
     .letter = 'o',
     .value = "PATH",
     .help = "where the result goes",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(output)},
};
const option_list options_output = OPTION_LIST(output);

static const option_row input[] = {
    {.name = "input",
     .value = "DEVICE",
     .help = "microphone: a name or number of `runnel devices`, file:IN.wav or null",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(input),
     .changes_result = true},
};
const option_list options_input = OPTION_LIST(input);

static const option_row json[] = {
    {.name = "json",
     .help = "one JSON object per result on stdout",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(json)},
};
const option_list options_json = OPTION_LIST(json);

static const option_row system[] = {
    {.name = "system",
     .value = "TEXT",
     .help = "system prompt",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(system),
     .changes_result = true},
};
const option_list options_system = OPTION_LIST(system);

static const option_row answer[] = {
    {.name = "max-tokens",
     .value = "N",
     .help = "backbone steps of a reply",
     .kind = OPTION_INT,
     .offset = OPTION_AT(max_tokens),
     .min = 1,
     .max = 1 << 20,
     .changes_result = true},
    {.name = "audio-temp",
     .value = "X",
     .help = "audio temperature, 0 is greedy",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(audio_temperature),
     .min = 0,
     .max = 2,
     .changes_result = true},
    {.name = "audio-top-k",
     .value = "N",
     .help = "audio: keep the N best",
     .kind = OPTION_INT,
     .offset = OPTION_AT(audio_top_k),
     .min = 1,
     .max = 1 << 30,
     .changes_result = true},
    {.name = "interleave",
     .value = "T:A",
     .help = "text tokens and audio frames in turn",
     .kind = OPTION_PAIR,
     .offset = OPTION_AT(interleave),
     .min = 64,
     .max = 256,
     .changes_result = true},
};
const option_list options_answer = OPTION_LIST(answer);

static const option_row sampling[] = {
    {.name = "temp",
     .value = "X",
     .help = "text temperature, 0 is greedy",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(temperature),
     .min = 0,
     .max = 2,
     .changes_result = true},
    {.name = "top-k",
     .value = "N",
     .help = "text: keep the N best",
     .kind = OPTION_INT,
     .offset = OPTION_AT(top_k),
     .min = 1,
     .max = 1 << 30,
     .changes_result = true},
    {.name = "seed",
     .value = "N",
     .help = "seed of the sampler (default 0)",
     .kind = OPTION_SEED,
     .offset = OPTION_AT(seed),
     .changes_result = true},
};
const option_list options_sampling = OPTION_LIST(sampling);

static const option_row turns[] = {
    {.name = "drop-oldest",
     .help = "a full context drops the oldest turns",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(drop_oldest),
     .changes_result = true},
    {.name = "max-seconds",
     .value = "X",
     .help = "longest sound of a turn (default 60)",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(seconds_max),
     .min = 0.1,
     .max = 600,
     .changes_result = true},
};
const option_list options_turns = OPTION_LIST(turns);

static const option_row cache[] = {
    {.name = "kv",
     .value = "TYPE",
     .help = "keys and values as f16 (default), q8_0 or f32",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(kv),
     .changes_result = true},
};
const option_list options_cache = OPTION_LIST(cache);

static const option_row channel[] = {
    {.name = "channel",
     .value = "N",
     .help = "hear channel N alone (default: the mean of all)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(channel),
     .min = 1,
     .max = SOUND_CHANNEL_CAP,
     .changes_result = true},
    {.name = "track",
     .value = "N",
     .help = "hear sound track N of a film (default 1)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(track),
     .min = 1,
     .max = SOUND_TRACK_CAP,
     .changes_result = true},
};
const option_list options_channel = OPTION_LIST(channel);

static const option_row raw[] = {
    {.name = "raw-rate",
     .value = "HZ",
     .help = "a pipe of samples without a header: their rate (16000)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(raw_rate),
     .min = SOUND_RATE_MIN,
     .max = SOUND_RATE_MAX,
     .changes_result = true},
    {.name = "raw-channels",
     .value = "N",
     .help = "likewise: its channels (1)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(raw_channels),
     .min = 1,
     .max = SOUND_CHANNEL_CAP,
     .changes_result = true},
    {.name = "raw-format",
     .value = "FORMAT",
     .help = "likewise: s16le (default), s32le or f32le",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(raw_format),
     .changes_result = true},
};
const option_list options_raw = OPTION_LIST(raw);

static const option_row resume[] = {
    {.name = "resume",
     .help = "go on where an earlier run was stopped",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(resume)},
};
const option_list options_resume = OPTION_LIST(resume);

static const option_row recordings[] = {
    {.name = "jobs",
     .value = "N",
     .help = "recordings at a time (default 1)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(jobs),
     .min = 1,
     .max = RNL_THREAD_CAP},
    {.name = "whole",
     .help = "each recording in one piece, at most 60 s",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(whole),
     .changes_result = true},
};
const option_list options_recordings = OPTION_LIST(recordings);
