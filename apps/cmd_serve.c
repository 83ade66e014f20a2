/* runnel serve: options of the voice server; what it does is in serve/. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/commands.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "core/clock.h"
#include "core/json.h"
#include "apps/tuning.h"
#include "serve/limits.h"
#include "serve/notify.h"
#include "serve/process_limits.h"
#include "serve/sandbox.h"
#include "serve/server.h"

static const option_row own[] = {
    {.name = "alias",
     .letter = 'a',
     .value = "NAME",
     .help = "the model's name for clients (default: its own)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(serve.alias)},
    {.name = "lora",
     .value = "NAME=FILE[:SCALE]",
     .help = "a model NAME more: this one with an adapter, PEFT folder or GGUF (repeatable)",
     .kind = OPTION_TEXTS,
     .offset = OPTION_AT(serve.adapters)},
    {.name = "host",
     .value = "HOST",
     .help = "address to listen at, or unix:PATH (default 127.0.0.1)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(serve.host)},
    {.name = "port",
     .value = "N",
     .help = "port to listen at, 0: any that is free (default 8080)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(serve.port),
     .max = 65535},
    {.name = "api-key-file",
     .value = "FILE",
     .help = "who may ask: a key in each line; RUNNEL_API_KEY is one more",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(serve.key_file)},
    {.name = "tls-cert",
     .value = "FILE",
     .help = "certificate with its chain, in PEM",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(serve.tls_cert)},
    {.name = "tls-key",
     .value = "FILE",
     .help = "its private key",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(serve.tls_key)},
    {.name = "plain",
     .help = "no TLS, although other machines may ask: something else guards it",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(serve.plain)},
    {.name = "name",
     .value = "HOST",
     .help = "a name under which the server is asked (repeatable)",
     .kind = OPTION_TEXTS,
     .offset = OPTION_AT(serve.names)},
    {.name = "origin",
     .value = "ORIGIN",
     .help = "pages of this origin may ask: https://example.org (repeatable)",
     .kind = OPTION_TEXTS,
     .offset = OPTION_AT(serve.origins)},
    {.name = "trusted-proxy",
     .value = "CIDR",
     .help = "addresses whose X-Forwarded-* count (repeatable)",
     .kind = OPTION_TEXTS,
     .offset = OPTION_AT(serve.proxies)},
    {.name = "sessions",
     .value = "N",
     .help = "conversations at once at most (default: what the machine can)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(serve.sessions),
     .min = 1,
     .max = 1000},
    {.name = "sessions-per-key",
     .value = "N",
     .help = "of one key (default: half of all)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(serve.sessions_of_key),
     .min = 1,
     .max = 1000},
    {.name = "oversubscribe",
     .value = "X",
     .help = "conversations for each that can speak at once (default 2)",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(serve.oversubscribe),
     .min = 1,
     .max = 100},
    {.name = "jobs",
     .value = "N",
     .help = "recordings transcribed at once (default 1)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(jobs),
     .min = 1,
     .max = 8},
    {.name = "drain-seconds",
     .value = "S",
     .help = "time for what is under way when the server is to end (default 30)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(serve.drain_seconds),
     .max = 3600},
    {.name = "slow-seconds",
     .value = "S",
     .help = "a client that reads nothing for so long is closed (default 10)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(serve.slow_seconds),
     .min = 1,
     .max = 600},
    {.name = "session-seconds",
     .value = "S",
     .help = "age at which a realtime session ends (default 3600)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(serve.session_seconds),
     .min = 1,
     .max = 86400},
    {.name = "resume-seconds",
     .value = "S",
     .help = "a realtime conversation whose connection broke off is kept so long (default 0)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(serve.resume_seconds),
     .max = 3600},
    {.name = "truncate-wait-ms",
     .value = "MS",
     .help = "wait for a client's word about what was heard (default 300)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(serve.truncate_wait_ms),
     .max = 5000},
    {.name = "beta",
     .help = "realtime clients that do not say so speak the older dialect",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(serve.beta)},
    {.name = "half-duplex",
     .help = "deaf while a reply is played: for clients without echo cancellation",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(serve.half_duplex)},
    {.name = "no-speculation",
     .help = "realtime answers begin at the end of a turn, not at a guessed one",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(serve.no_speculation)},
    {.name = "message-max",
     .value = "SIZE",
     .help = "WebSocket message at most (default 4M)",
     .kind = OPTION_SIZE,
     .offset = OPTION_AT(serve.message_max)},
    {.name = "upload-max",
     .value = "SIZE",
     .help = "sound file at most (default 25M)",
     .kind = OPTION_SIZE,
     .offset = OPTION_AT(serve.upload_max)},
    {.name = "strict-model",
     .help = "requests have to name a model that is here (with --lora they do)",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(serve.strict_model)},
    {.name = "ffmpeg",
     .help = "let ffmpeg decode sound files that nothing else here can",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(serve.ffmpeg)},
    {.name = "wyoming",
     .value = "PORT",
     .help = "Home Assistant's protocol at [HOST:]PORT, customary 10300 (default: not)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(serve.wyoming)},
    {.name = "wyoming-allow",
     .value = "CIDR",
     .help = "addresses that may use it, besides this machine's (repeatable)",
     .kind = OPTION_TEXTS,
     .offset = OPTION_AT(serve.wyoming_allow)},
    {.name = "audiosocket",
     .value = "PORT",
     .help = "telephone calls of Asterisk at [HOST:]PORT (default: not)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(serve.audiosocket)},
    {.name = "audiosocket-allow",
     .value = "CIDR",
     .help = "addresses that may send calls, besides this machine's (repeatable)",
     .kind = OPTION_TEXTS,
     .offset = OPTION_AT(serve.audiosocket_allow)},
    {.name = "no-page",
     .help = "no page at /",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(serve.no_page)},
    {.name = "metrics-open",
     .help = "/metrics needs no key",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(serve.metrics_open)},
    {.name = "log-format",
     .value = "FORM",
     .help = "lines on stderr: text, json or off (default: text on a terminal, else json)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(serve.log_format)},
    {.name = "log-content",
     .help = "what is said and written stands in the log, too: to look for faults",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(serve.log_content)},
    {.name = "sandbox",
     .value = "WHAT",
     .help = "Landlock and seccomp: on, off, or kill, where what is refused ends it (default on)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(serve.sandbox)},
    {.name = "help-limits",
     .help = "how much the server takes of anybody",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(serve.help_limits)},
};
static const option_list list = OPTION_LIST(own);

static int help_limits(void) {
    const limit_row *row;
    for (int i = 0; (row = limit_at(i)) != NULL; i++)
        printf("%12lld %-10s  %s\n", (long long)row->value, row->unit, row->text);
    return flush_output();
}

/* ---- From options to settings ---- */

static int take_ranges(const char *option, const option_texts *texts, cidr *ranges, int *count) {
    if (texts->count > SERVER_RANGE_CAP)
        return complain(EXIT_USAGE, "%s: at most %d ranges", option, SERVER_RANGE_CAP);
    for (*count = 0; *count < texts->count; (*count)++)
        if (!cidr_parse(texts->at[*count], &ranges[*count]))
            return complain(EXIT_USAGE, "%s: '%s' is no range like 10.0.0.0/8", option,
                            texts->at[*count]);
    return EXIT_OK;
}

/* "[HOST:]PORT", where HOST may be "[::1]". The host is put into room, which c then borrows. */
static int take_port(const char *option, const char *text, server_port_config *c, char *room,
                     size_t cap) {
    if (text == NULL) return EXIT_OK;
    const char *colon = strrchr(text, ':'), *port = colon != NULL ? colon + 1 : text;
    char *end;
    const long number = strtol(port, &end, 10);
    if (*port < '0' || *port > '9' || *end != '\0' || number > 65535)
        return complain(EXIT_USAGE, "%s: '%s' is no [HOST:]PORT", option, text);
    c->port = (int)number;
    if (colon == NULL) return EXIT_OK;
    const bool bracket = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
    (void)snprintf(room, cap, "%.*s", (int)(colon - text) - 2 * bracket, text + bracket);
    c->host = room;
    return EXIT_OK;
}

/* Texts that the server's settings borrow. */
typedef struct port_hosts {
    char wyoming[256], audiosocket[256];
} port_hosts;

static int take_ports(const serve_options *s, server_config *c, port_hosts *p) {
    int code = take_port("--wyoming", s->wyoming, &c->wyoming, p->wyoming, sizeof p->wyoming);
    if (code == EXIT_OK)
        code = take_port("--audiosocket", s->audiosocket, &c->audiosocket, p->audiosocket,
                         sizeof p->audiosocket);
    if (code == EXIT_OK)
        code = take_ranges("--wyoming-allow", &s->wyoming_allow, c->wyoming.ranges,
                           &c->wyoming.range_count);
    if (code == EXIT_OK)
        code = take_ranges("--audiosocket-allow", &s->audiosocket_allow, c->audiosocket.ranges,
                           &c->audiosocket.range_count);
    return code;
}

static int take_sizes(const options *o, server_config *c) {
    rnl_session_config session = rnl_session_config_default();
    if (!session_options(o, &session)) return EXIT_USAGE;
    work_config *w = &c->work;
    w->thread_count = session.thread_count;
    w->context_cap = session.context_cap;
    w->kv_cache = session.kv_cache;
    w->memory_size_max = o->memory_max;
    if (o->serve.sessions > 0) w->session_cap = o->serve.sessions;
    if (o->serve.sessions_of_key > 0) w->sessions_of_owner = o->serve.sessions_of_key;
    if (o->serve.oversubscribe > 0) w->oversubscribe = o->serve.oversubscribe;
    if (o->jobs > 0) w->jobs = o->jobs;
    w->ffmpeg = o->serve.ffmpeg;
    if (o->serve.message_max > 0) c->message_max = o->serve.message_max;
    if (o->serve.upload_max > 0) c->upload_max = o->serve.upload_max;
    return EXIT_OK;
}

static int take_options(const options *o, server_config *c) {
    const serve_options *s = &o->serve;
    const char *key = getenv("RUNNEL_API_KEY");
    *c = server_config_default();
    if (s->host != NULL) c->host = s->host;
    if (s->port >= 0) c->port = s->port;
    if (s->drain_seconds >= 0) c->drain_seconds = s->drain_seconds;
    if (s->slow_seconds > 0) c->slow_seconds = s->slow_seconds;
    c->tls_cert = s->tls_cert;
    c->tls_key = s->tls_key;
    c->plain = s->plain;
    c->key_file = s->key_file;
    c->key = key != NULL && *key != '\0' ? key : NULL;
    c->strict_model = s->strict_model;
    c->no_page = s->no_page;
    c->metrics_open = s->metrics_open;
    if (s->session_seconds > 0) c->realtime.session_seconds = s->session_seconds;
    if (s->resume_seconds >= 0) c->realtime.resume_seconds = s->resume_seconds;
    if (s->truncate_wait_ms >= 0) c->realtime.truncate_wait_ms = s->truncate_wait_ms;
    c->realtime.beta = s->beta;
    c->realtime.half_duplex = s->half_duplex;
    c->realtime.speculates = !s->no_speculation;
    c->rules = (origin_rules){.names = s->names.at,
                              .name_count = s->names.count,
                              .origins = s->origins.at,
                              .origin_count = s->origins.count};
    const int code = take_ranges("--trusted-proxy", &s->proxies, c->proxies, &c->proxy_count);
    return code == EXIT_OK ? take_sizes(o, c) : code;
}

/* The file's own name without its suffix, for a model that has none. */
static void stem_of(const char *path, char *name, size_t cap) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    const char *dot = memchr(path + begin, '.', end - begin);
    if (dot != NULL && dot > path + begin) end = (size_t)(dot - path);
    (void)snprintf(name, cap, "%.*s", (int)(end - begin), path + begin);
}

static void name_of(const options *o, const rnl_model *model, char *name, size_t cap) {
    rnl_model_info info;
    rnl_model_get_info(model, &info);
    if (o->serve.alias != NULL)
        (void)snprintf(name, cap, "%s", o->serve.alias);
    else if (info.name[0] != '\0')
        (void)snprintf(name, cap, "%s", info.name);
    else
        stem_of(o->model != NULL ? o->model : "model", name, cap);
}

/* ---- Running ---- */

static server *serving; /* for the signals; NULL: none is */

static void on_end(int signal_number) {
    (void)signal_number;
    if (serving != NULL) server_ask_end(serving);
}

static void on_reload(int signal_number) {
    (void)signal_number;
    if (serving != NULL) server_ask_reload(serving);
}

static void install_signals(void) {
    struct sigaction action = {.sa_handler = on_end};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    action.sa_handler = on_reload;
    (void)sigaction(SIGHUP, &action, NULL);
}

/* What the server tells while it runs. */
typedef struct running {
    const server_config *config;
    const rnl_model *model;
    notify systemd;
    int64_t watchdog_us, fed_us; /* how often systemd wants to hear; when it did */
    bool sandbox, kill, quiet, stopping;
} running;

static void write_log(void *context, const char *line, size_t size) {
    (void)context;
    (void)!write(STDERR_FILENO, line, size);
}

/* "text", "json", "off", or what suits standard error. */
static int take_log(const options *o, server_config *c) {
    const char *format = o->serve.log_format;
    if (format == NULL) format = o->quiet ? "off" : isatty(STDERR_FILENO) ? "text" : "json";
    const bool off = strcmp(format, "off") == 0;
    c->log = off ? NULL : write_log;
    c->log_form = strcmp(format, "text") == 0 ? LOG_TEXT : LOG_JSON;
    c->log_content = o->serve.log_content;
    if (c->log_content && !off)
        (void)complain(EXIT_OK, "--log-content: what people say and write stands in the log");
    if (off || c->log_form == LOG_TEXT || strcmp(format, "json") == 0) return EXIT_OK;
    return complain(EXIT_USAGE, "--log-format: '%s' is not text, json or off", format);
}

static int take_sandbox(const options *o, running *r) {
    const char *what = o->serve.sandbox != NULL ? o->serve.sandbox : "on";
    r->kill = strcmp(what, "kill") == 0;
    r->sandbox = r->kill || strcmp(what, "on") == 0;
    if (!r->sandbox && strcmp(what, "off") != 0)
        return complain(EXIT_USAGE, "--sandbox: '%s' is not on, off or kill", what);
    const bool driver = o->device != NULL && strcmp(o->device, "cpu") != 0;
    if (!r->sandbox || (!o->serve.ffmpeg && !driver)) return EXIT_OK;
    r->sandbox = false;
    (void)complain(EXIT_OK, o->serve.ffmpeg ? "--ffmpeg starts a program, so there is no sandbox"
                                            : "--device opens a driver, so there is no sandbox");
    return EXIT_OK;
}

/* The folder of a file, in room of the caller. */
static const char *folder_of(const char *path, char *room, size_t cap) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL) return ".";
    (void)snprintf(room, cap, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return room;
}

static rnl_status enter_sandbox(void *context, rnl_error *error) {
    const running *r = context;
    const server_config *c = r->config;
    const char *const files[] = {c->key_file, c->tls_cert, c->tls_key}; /* SIGHUP reads them */
    char rooms[3][4096];
    const char *folders[3];
    sandbox_report report;
    sandbox_config s = {.folders = folders, .kill = r->kill};
    if (!r->sandbox) return RNL_OK;
    /* The first JSON object of the process takes a seed from /dev/urandom, so that nobody can make
     * keys that collide; later it could not. */
    json_draft *first = json_new_object();
    json_drop(&first);
    for (size_t i = 0; i < 3; i++)
        if (files[i] != NULL)
            folders[s.folder_count++] = folder_of(files[i], rooms[i], sizeof rooms[i]);
    const rnl_status status = sandbox_enter(&s, &report, error);
    if (status == RNL_OK && (report.landlock == 0 || !report.seccomp))
        (void)complain(EXIT_OK, "the sandbox is not whole: this kernel has no %s",
                       report.seccomp ? "Landlock" : "seccomp");
    return status;
}

static void tick(void *context, const work_facts *facts) {
    running *r = context;
    const int64_t now_us = clock_us();
    if (facts->draining && !r->stopping) notify_tell(&r->systemd, "STOPPING=1");
    r->stopping = facts->draining;
    if (r->watchdog_us == 0 || !facts->alive || now_us - r->fed_us < r->watchdog_us) return;
    r->fed_us = now_us;
    notify_tell(&r->systemd, "WATCHDOG=1");
}

static void tell_trouble(void *context, const char *sentence) {
    (void)context;
    (void)complain(EXIT_OK, "not read again, what there was stays: %s", sentence);
}

static void tell_adapters(const rnl_model *model) {
    const int count = rnl_model_adapter_count(model);
    for (int i = 0; i < count; i++)
        printf("%s %s%s", i == 0 ? "models by adapters:" : "", rnl_model_adapter_name(model, i),
               i + 1 < count ? "," : "\n");
}

/* Who may come without a key. */
static void warn_of_port(const char *option, const server_port_config *c) {
    if (c->port >= 0 && c->range_count > 0)
        (void)complain(EXIT_OK, "--%s: whoever comes from the addresses of --%s-allow needs no key",
                       option, option);
}

static void tell_ready(void *context, server *s) {
    const running *r = context;
    const server_config *c = r->config;
    work_facts f;
    server_get_facts(s, &f);
    if (strncmp(c->host, "unix:", 5) == 0)
        printf("ready at %s", c->host);
    else
        printf("ready at %s://%s%s%s:%d/", c->tls_cert != NULL ? "https" : "http",
               strchr(c->host, ':') != NULL ? "[" : "", c->host,
               strchr(c->host, ':') != NULL ? "]" : "", server_port(s));
    printf(", model %s, %d conversations", c->name, f.session_max);
    if (f.speaking_max == 0)
        printf(" (this machine does not even speak one in real time)\n");
    else
        printf(" (%d can speak at once%s)\n", f.speaking_max,
               f.memory_binds ? "; there is no memory for more" : "");
    tell_adapters(r->model);
    warn_of_port("wyoming", &c->wyoming);
    warn_of_port("audiosocket", &c->audiosocket);
    if (c->wyoming.port >= 0)
        printf("Wyoming at %s port %d\n", c->wyoming.host, server_wyoming_port(s));
    if (c->audiosocket.port >= 0)
        printf("AudioSocket at %s port %d\n", c->audiosocket.host, server_audiosocket_port(s));
    (void)fflush(stdout);
    notify_tell(&r->systemd, "READY=1");
    if (f.measured_seconds > 0.5 && !r->quiet)
        (void)fprintf(
            stderr, "runnel: measuring passes took %.1f s; `runnel bench --calibrate` keeps them\n",
            f.measured_seconds);
}

/* Times of passes as `bench --calibrate` keeps them: read before the sandbox is entered. */
typedef struct kept_times {
    const rnl_model *model;
    int thread_count;
    bool any;
    tuning tuning;
} kept_times;

static int give_times(void *context, rnl_batch *batch) {
    const kept_times *k = context;
    return k->any ? tuning_give_times(&k->tuning, k->model, k->thread_count, batch) : 0;
}

static int serve(running *r, server_config *c, rnl_model *model) {
    rnl_error error = {0};
    server *s = NULL;
    r->config = c;
    r->model = model;
    c->listening = enter_sandbox;
    c->tick = tick;
    c->trouble = tell_trouble;
    c->context = r;
    kept_times *kept = calloc(1, sizeof *kept);
    if (kept == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    kept->model = model;
    kept->thread_count = c->work.thread_count;
    kept->any = tuning_read(&kept->tuning, r->quiet);
    c->work.give_times = give_times;
    c->work.times_context = kept;
    const rnl_status status = server_create(c, model, &s, &error);
    if (status != RNL_OK) {
        free(kept);
        int code = exit_code(&error);
        if (status == RNL_ERR_ARGUMENT || status == RNL_ERR_DATA) code = EXIT_USAGE;
        if (status == RNL_ERR_IO) code = EXIT_ADDRESS;
        return complain(code, "%s", error.text);
    }
    serving = s;
    install_signals();
    server_when_ready(s, tell_ready, r);
    server_run(s);
    serving = NULL;
    server_destroy(&s);
    free(kept);
    return EXIT_OK;
}

static int run(const options *o) {
    server_config c;
    running r = {.systemd = {.fd = -1}, .quiet = o->quiet};
    port_hosts hosts = {0};
    char name[256];
    if (o->serve.help_limits) return help_limits();
    if (o->argument_count > 0)
        return complain(EXIT_USAGE, "serve: '%s' is no option; serve takes no arguments",
                        o->arguments[0]);
    int code = take_options(o, &c);
    if (code == EXIT_OK) code = take_ports(&o->serve, &c, &hosts);
    if (code == EXIT_OK) code = take_log(o, &c);
    if (code == EXIT_OK) code = take_sandbox(o, &r);
    if (code != EXIT_OK) return code;
    rnl_error error = {0};
    if (notify_open(&r.systemd, getenv("NOTIFY_SOCKET"), &error) != RNL_OK)
        return complain(EXIT_USAGE, "%s", error.text);
    r.watchdog_us = notify_watchdog_us(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    process_give_memory_back();
    rnl_model *model = open_model(o, &code);
    if (model == NULL) return code;
    process_raise_descriptors();
    name_of(o, model, name, sizeof name);
    c.name = name;
    code = serve(&r, &c, model);
    rnl_model_close(&model);
    notify_close(&r.systemd);
    return code;
}

const command command_serve = {
    .name = "serve",
    .summary = "answer clients of OpenAI's API over HTTP",
    .synopsis = "[options]",
    .about =
        "Answers at http://127.0.0.1:8080/ until it is told to end (Ctrl-C, SIGTERM): what is "
        "under\n"
        "way is finished then, a second time ends it at once. SIGHUP reads keys and certificate\n"
        "again. One line on stdout says when it is ready. Other machines may ask only with keys,\n"
        "and with TLS or --plain.",
    .options = {&options_device, &options_cache, &list},
    .run = run,
    .endless = true,
    .words = "",
};
