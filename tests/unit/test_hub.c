/* apps/hub_name.c, hub_list.c, hub_choose.c, hub_cache.c, digest.c and the addresses of http.c:
 * what is pure about the hub.
 *
 * names      what a person may call a model; which names of strangers may become files
 * listing    entries are taken with size and sum, or the whole of it is refused
 * choice     quantisation and parts, as official.md A.4 has them
 * cache      where it lies by the environment, what is found in it
 * sums       against known ones
 * addresses  https, http to this machine only, and no way from outside to this machine
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/digest.h"
#include "apps/hub.h"
#include "apps/hub_cache.h"
#include "apps/hub_choose.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- Names ---- */

static void names_of_models(void **state) {
    (void)state;
    static const struct {
        const char *text, *repo, *quant, *revision;
    } good[] = {
        {"LiquidAI/LFM2.5-Audio-1.5B", "LiquidAI/LFM2.5-Audio-1.5B", "", "main"},
        {"LiquidAI/LFM2.5-Audio-1.5B-GGUF:Q4_0", "LiquidAI/LFM2.5-Audio-1.5B-GGUF", "Q4_0", "main"},
        {"a/b:q4_k_m@v1.0", "a/b", "Q4_K_M", "v1.0"},
        {"a/b@refs/pr/1", "a/b", "", "refs/pr/1"},
    };
    static const char *const bad[] = {
        "",        "a",      "a/",    "/b",       "a/b/c",    "./b",       "../b",    "a/..",
        "a/b:",    "a/b@",   "a//b",  "a/b--c",   "a/b..c",   "a/-b",      "a/b.",    "a b/c",
        "a/b:q 4", "a/b:@m", "a/b@/", "a/b@../x", "a/b@x/..", "a/b@x%2fy", "a\\b/c",  "a/b\n",
        "a:b/c",   "a/b@x:", "~/b",   "a/b?c",    "a/b#c",    "a/b@a//b",  "a/b:4-0", "a/b@",
    };
    hub_name n;
    char text[400];
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(hub_name_parse(good[i].text, &n));
        assert_string_equal(n.repo, good[i].repo);
        assert_string_equal(n.quant, good[i].quant);
        assert_string_equal(n.revision, good[i].revision);
        hub_name_text(&n, text, sizeof text);
        assert_int_equal(strcasecmp(text, good[i].text), 0);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        if (hub_name_parse(bad[i], &n)) fail_msg("'%s' was taken for a name", bad[i]);
}

static void long_names_are_refused(void **state) {
    (void)state;
    char text[600];
    hub_name n;
    memset(text, 'a', sizeof text);
    text[96] = '/';
    text[193] = '\0';
    assert_true(hub_name_parse(text, &n)); /* 96 and 96 */
    text[193] = 'a';
    text[194] = '\0';
    assert_false(hub_name_parse(text, &n));
    strcpy(text, "a/b:");
    memset(text + 4, 'Q', 33);
    text[36] = '\0'; /* 32 */
    assert_true(hub_name_parse(text, &n));
    strcpy(text + 36, "Q");
    assert_false(hub_name_parse(text, &n));
    strcpy(text, "a/b@");
    memset(text + 4, 'x', 129);
    text[132] = '\0'; /* 128 */
    assert_true(hub_name_parse(text, &n));
    strcpy(text + 132, "x");
    assert_false(hub_name_parse(text, &n));
}

static void names_of_files(void **state) {
    (void)state;
    static const char *const good[] = {"a",    "a/b.gguf",      "audio_detokenizer/config.json",
                                       "...a", "..a/b",         "a..",
                                       ".git", "\xC3\xA4.json", "a b"};
    static const char *const bad[] = {
        "",   "/etc/passwd", "..", "../a", "a/../b",   "a/..",  ".",        "./a",  "a//b",
        "a/", "a/./b",       "/",  "a\nb", "a\x1b[2J", "a\x7f", "\xC2\x9B", "a\tb",
    };
    char text[300];
    for (size_t i = 0; i < COUNT(good); i++)
        if (!hub_path_is_safe(good[i], strlen(good[i]))) fail_msg("'%s' was refused", good[i]);
    for (size_t i = 0; i < COUNT(bad); i++)
        if (hub_path_is_safe(bad[i], strlen(bad[i]))) fail_msg("'%s' was taken", bad[i]);
    assert_false(hub_path_is_safe("a\0b", 3));
    memset(text, 'a', sizeof text);
    assert_true(hub_path_is_safe(text, 255));
    assert_false(hub_path_is_safe(text, 256));
}

/* ---- The listing ---- */

#define SHA1 "0123456789abcdef0123456789abcdef01234567"
#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ENTRY(path) "{\"type\":\"file\",\"oid\":\"" SHA1 "\",\"size\":5,\"path\":\"" path "\"}"

static bool add(hub_list *l, const char *text) {
    rnl_error error = {0};
    const bool good = hub_list_add(l, text, strlen(text), "a/b", &error);
    assert_int_equal(good, error.text[0] == '\0');
    if (!good) assert_int_equal(strncmp(error.text, "a/b: ", 5), 0);
    return good;
}

static void a_listing_is_taken(void **state) {
    (void)state;
    hub_list l = {0};
    assert_true(add(&l, "[]"));
    assert_true(add(&l, "[{\"type\":\"directory\",\"oid\":\"x\",\"size\":0,\"path\":\"d\"}," ENTRY(
                            "d/config.json") ",{\"type\":\"file\",\"oid\":\"" SHA1
                                             "\",\"size\":7000000000,\"path\":\"m.gguf\",\"lfs\":{"
                                             "\"oid\":\"" SHA256
                                             "\",\"size\":7000000000,\"pointerSize\":1}}]"));
    assert_true(add(&l, "[" ENTRY("second") "]"));
    assert_int_equal(l.count, 3);
    assert_string_equal(l.files[0].path, "d/config.json");
    assert_string_equal(l.files[0].blob, SHA1);
    assert_int_equal(l.files[0].kind, DIGEST_GIT_BLOB);
    assert_int_equal(l.files[0].size, 5);
    assert_string_equal(l.files[1].blob, SHA256);
    assert_int_equal(l.files[1].kind, DIGEST_SHA256);
    assert_true(l.files[1].size == 7000000000);
    assert_string_equal(l.files[2].path, "second");
    hub_list_free(&l);
    assert_int_equal(l.count, 0);
}

static void a_bad_listing_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "{}",
        "[",
        "[1]",
        "[{}]",
        "[" ENTRY("../a") "]",
        "[" ENTRY("/a") "]",
        "[" ENTRY("a\\u0000b") "]",
        "[" ENTRY("a\\nb") "]",
        "[" ENTRY("a") "," ENTRY("b/../../c") "]",
        "[{\"type\":\"directory\",\"path\":\"..\"}]",
        "[{\"type\":\"file\",\"oid\":\"" SHA1 "\",\"path\":\"a\"}]",
        "[{\"type\":\"file\",\"oid\":\"" SHA1 "\",\"size\":-1,\"path\":\"a\"}]",
        "[{\"type\":\"file\",\"oid\":\"" SHA1 "\",\"size\":1e300,\"path\":\"a\"}]",
        "[{\"type\":\"file\",\"oid\":\"" SHA1 "\",\"size\":99999999999999999,\"path\":\"a\"}]",
        "[{\"type\":\"file\",\"size\":1,\"path\":\"a\"}]",
        "[{\"type\":\"file\",\"oid\":\"../../x\",\"size\":1,\"path\":\"a\"}]",
        "[{\"type\":\"file\",\"oid\":\"" SHA256 "\",\"size\":1,\"path\":\"a\"}]",
        "[{\"type\":\"file\",\"oid\":\"" SHA1 "\",\"size\":1,\"path\":\"a\",\"lfs\":{}}]",
        "[{\"type\":\"file\",\"oid\":\"" SHA1 "\",\"size\":1,\"path\":\"a\",\"lfs\":{\"oid\":"
        "\"" SHA1 "\",\"size\":1}}]",
        "[{\"type\":\"file\",\"oid\":\"" SHA1 "\",\"size\":1,\"path\":\"a\",\"lfs\":{\"oid\":"
        "\"" SHA256 "\",\"size\":2}}]",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        hub_list l = {0};
        if (add(&l, bad[i])) fail_msg("taken: %s", bad[i]);
        hub_list_free(&l);
    }
}

static bool info(hub_info *out, const char *repo, const char *text) {
    rnl_error error = {0};
    return hub_info_parse(out, text, strlen(text), repo, &error);
}

static void licences_and_commits(void **state) {
    (void)state;
    hub_info i;
    assert_true(info(&i, "LiquidAI/x",
                     "{\"sha\":\"" SHA1 "\",\"cardData\":{\"license\":\"other\",\"license_name\":"
                     "\"lfm1.0\",\"license_link\":\"LICENSE\"}}"));
    assert_string_equal(i.commit, SHA1);
    assert_string_equal(i.licence, "lfm1.0");
    assert_string_equal(i.licence_link, "LICENSE");
    assert_true(i.licence_is_lfm);
    assert_true(info(&i, "a/x", "{\"sha\":\"" SHA1 "\",\"cardData\":{\"license\":\"mit\"}}"));
    assert_string_equal(i.licence, "mit");
    assert_false(i.licence_is_lfm);
    assert_true(info(&i, "LiquidAI/x", "{\"sha\":\"" SHA1 "\"}"));
    assert_true(i.licence_is_lfm); /* of this house when nothing else is said */
    assert_true(info(&i, "a/x", "{\"sha\":\"" SHA1 "\",\"cardData\":null}"));
    assert_string_equal(i.licence, "");
    assert_true(info(&i, "a/x", "{\"sha\":\"" SHA1 "\",\"cardData\":{\"license\":\"a\\u001bb\"}}"));
    assert_string_equal(i.licence, "a?b");
    assert_false(info(&i, "a/x", "{\"sha\":\"../../../etc\"}"));
    assert_false(info(&i, "a/x", "{\"sha\":7}"));
    assert_false(info(&i, "a/x", "[]"));
    assert_false(info(&i, "a/x", "<html>"));
}

/* ---- The choice ---- */

/* The chosen files, "main mmproj vocoder tokenizer" with "-" for none, or what was found. */
static const char *chosen(const char *quant, const char *const *paths) {
    static char text[512];
    static const char *const kinds[] = {"set",      "folder",    "no model",
                                        "no quant", "ambiguous", "split"};
    size_t count = 0, size = 0;
    while (paths[count] != NULL) count++;
    const hub_choice c = hub_choose(paths, count, quant);
    if (c.kind != HUB_SET) return kinds[c.kind];
    for (int role = 0; role < HUB_ROLE_COUNT; role++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s", role > 0 ? " " : "",
                                 c.index[role] != HUB_NONE ? paths[c.index[role]] : "-");
    return text;
}

static void the_official_set(void **state) {
    (void)state;
    static const char *const set[] = {"README.md",
                                      "LFM-F16.gguf",
                                      "LFM-Q4_0.gguf",
                                      "LFM-Q8_0.gguf",
                                      "mmproj-LFM-F16.gguf",
                                      "mmproj-LFM-Q4_0.gguf",
                                      "mmproj-LFM-Q8_0.gguf",
                                      "tokenizer-LFM-F16.gguf",
                                      "tokenizer-LFM-Q4_0.gguf",
                                      "tokenizer-LFM-Q8_0.gguf",
                                      "vocoder-LFM-F16.gguf",
                                      "vocoder-LFM-Q4_0.gguf",
                                      "vocoder-LFM-Q8_0.gguf",
                                      NULL};
    const char *const q8 =
        "LFM-Q8_0.gguf mmproj-LFM-Q8_0.gguf vocoder-LFM-Q8_0.gguf tokenizer-LFM-Q8_0.gguf";
    assert_string_equal(chosen("Q8_0", set), q8);
    assert_non_null(strstr(chosen("", set), "LFM-Q4_0.gguf mmproj-LFM-Q4_0.gguf"));
    assert_string_equal(chosen("Q5_K_M", set), "no quant");
    char quants[64];
    hub_quants(set, COUNT(set) - 1, quants, sizeof quants);
    assert_string_equal(quants, "F16, Q4_0, Q8_0");
}

static void other_layouts(void **state) {
    (void)state;
    static const struct {
        const char *quant, *expected, *paths[8];
    } rows[] = {
        /* the merged vocoder of the LEAP sets */
        {"Q4_0",
         "L-Q4_0.gguf mmproj-L-Q4_0.gguf vocoder-L-Q4_0.gguf -",
         {"L-Q4_0.gguf", "mmproj-L-Q4_0.gguf", "vocoder-L-Q4_0.gguf"}},
        /* parts in another quantisation */
        {"Q4_K_M",
         "L-Q4_K_M.gguf mmproj-L-Q8_0.gguf - -",
         {"L-Q4_K_M.gguf", "mmproj-L-F16.gguf", "mmproj-L-Q8_0.gguf", "mmproj-L-Q4_0.gguf"}},
        {"", "L-F16.gguf mmproj-L-BF16.gguf - -", {"L-F16.gguf", "mmproj-L-BF16.gguf"}},
        /* the only part, under another name; of two nobody knows */
        {"", "L-Q8_0.gguf mmproj-M.gguf - -", {"L-Q8_0.gguf", "mmproj-M.gguf"}},
        {"", "L-Q8_0.gguf - - -", {"L-Q8_0.gguf", "mmproj-M.gguf", "mmproj-N.gguf"}},
        /* the first version */
        {"",
         "L-Q8_0.gguf mmproj-audioencoder-L-Q8_0.gguf - -",
         {"L-Q8_0.gguf", "mmproj-audioencoder-L-Q8_0.gguf", "audiodecoder-L-Q8_0.gguf"}},
        /* a bundle; a folder below; dots; small letters */
        {"", "model.gguf - - -", {"model.gguf", "README.md"}},
        {"Q4_0", "no quant", {"model.gguf"}},
        {"Q8_0",
         "q8/L-Q8_0.gguf q8/mmproj-L-Q8_0.gguf - -",
         {"mmproj-L-Q8_0.gguf", "q8/L-Q8_0.gguf", "q8/mmproj-L-Q8_0.gguf"}},
        {"Q6_K", "l.q6_k.gguf - - -", {"l.q6_k.gguf", "l.q4_0.gguf"}},
        {"IQ4_XS", "L-IQ4_XS.gguf - - -", {"L-IQ4_XS.gguf", "L-Q4_0.gguf"}},
        /* nothing that can be meant */
        {"", "no quant", {"L-Q8_0.gguf", "L-Q6_K.gguf"}},
        {"Q8_0", "ambiguous", {"L-Q8_0.gguf", "M-Q8_0.gguf"}},
        /* split files */
        {"Q8_0",
         "L-Q8_0-00001-of-00002.gguf mmproj-L-Q8_0.gguf - -",
         {"L-Q8_0-00001-of-00002.gguf", "L-Q8_0-00002-of-00002.gguf", "mmproj-L-Q8_0.gguf",
          "mmproj-L-F16.gguf"}},
        {"", "split", {"L-Q8_0-00001-of-00002.gguf", "M-Q8_0-00002-of-00002.gguf"}},
        {"", "no model", {"L-Q8_0-00002-of-00002.gguf"}},
        {"", "no model", {"README.md", "mmproj-L-Q8_0.gguf"}},
        {"", "no model", {NULL}},
        {"", "no model", {"config.json", "model.bin"}},
        {"", "no model", {"below/config.json", "below/model.safetensors"}},
        {"", "folder", {"config.json", "model.safetensors"}},
        {"", "folder", {"config.json", "model-00001-of-00002.safetensors"}},
        {"Q4_0", "no quant", {"config.json", "model.safetensors"}},
        {"", "L-Q4_0.gguf - - -", {"L-Q4_0.gguf", "config.json", "model.safetensors"}},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(chosen(rows[i].quant, rows[i].paths), rows[i].expected);
}

static void files_of_a_folder(void **state) {
    (void)state;
    assert_true(hub_is_further("q/a-00002-of-00003.gguf", "q/a-00001-of-00003.gguf"));
    assert_false(hub_is_further("q/a-00001-of-00003.gguf", "q/a-00001-of-00003.gguf"));
    assert_false(hub_is_further("a-00002-of-00003.gguf", "q/a-00001-of-00003.gguf"));
    assert_false(hub_is_further("q/a-00002-of-00004.gguf", "q/a-00001-of-00003.gguf"));
    assert_false(hub_is_further("q/b-00002-of-00003.gguf", "q/a-00001-of-00003.gguf"));
    assert_false(hub_is_further("q/a.gguf", "q/a.gguf"));
    assert_true(hub_in_folder("model.safetensors"));
    assert_true(hub_in_folder("config.json"));
    assert_true(hub_in_folder("chat_template.jinja"));
    assert_true(hub_in_folder("audio_detokenizer/model.safetensors"));
    assert_false(hub_in_folder("README.md"));
    assert_false(hub_in_folder("onnx/config.json"));
    assert_false(hub_in_folder(".json"));
    assert_false(hub_in_folder("pytorch_model.bin"));
}

/* ---- The cache ---- */

static void clear_environment(void) {
    const char *const names[] = {"HF_HUB_CACHE",   "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                 "XDG_CACHE_HOME", "HF_HUB_OFFLINE",        "HF_ENDPOINT",
                                 "HF_TOKEN",       "HF_TOKEN_PATH"};
    for (size_t i = 0; i < COUNT(names); i++) (void)unsetenv(names[i]);
    (void)setenv("HOME", "/home/ann", 1);
}

static void where_the_cache_lies(void **state) {
    (void)state;
    char root[HUB_CACHE_PATH_CAP];
    clear_environment();
    assert_true(hub_cache_root(root));
    assert_string_equal(root, "/home/ann/.cache/huggingface/hub");
    (void)setenv("XDG_CACHE_HOME", "/x", 1);
    assert_true(hub_cache_root(root));
    assert_string_equal(root, "/x/huggingface/hub");
    (void)setenv("HF_HOME", "~/hf", 1);
    assert_true(hub_cache_root(root));
    assert_string_equal(root, "/home/ann/hf/hub");
    (void)setenv("HF_HUB_CACHE", "/big", 1);
    assert_true(hub_cache_root(root));
    assert_string_equal(root, "/big");
    clear_environment();
    (void)unsetenv("HOME");
    assert_false(hub_cache_root(root));
    assert_false(hub_is_offline());
    (void)setenv("HF_HUB_OFFLINE", "true", 1);
    assert_true(hub_is_offline());
    (void)setenv("HF_HUB_OFFLINE", "0", 1);
    assert_false(hub_is_offline());
    char name[HUB_REPO_CAP + 16];
    hub_cache_folder_name("LiquidAI/LFM2.5-Audio-1.5B", name);
    assert_string_equal(name, "models--LiquidAI--LFM2.5-Audio-1.5B");
}

static char *work; /* a folder of the test */

static void put(const char *path, const char *text) {
    char whole[512];
    (void)snprintf(whole, sizeof whole, "%s/%s", work, path);
    for (char *slash = whole + strlen(work) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

#define MODEL "models--a--b"

static void what_is_found_in_it(void **state) {
    (void)state;
    char folder[] = "/tmp/runnel-hub-XXXXXX", command[64], path[512], quants[64];
    work = mkdtemp(folder);
    assert_non_null(work);
    clear_environment();
    (void)setenv("HF_HUB_CACHE", work, 1);
    hub_name n;
    hub_model m;
    assert_true(hub_name_parse("a/b:F16", &n));
    assert_int_equal(hub_cache_find(&n, &m, quants, sizeof quants), HUB_NO_MODEL);
    put(MODEL "/refs/main", SHA1);
    put(MODEL "/snapshots/" SHA1 "/L-F16.gguf", "x");
    put(MODEL "/snapshots/" SHA1 "/mmproj-L-Q8_0.gguf", "x");
    (void)snprintf(path, sizeof path, "%s/" MODEL "/snapshots/" SHA1 "/vocoder-L-F16.gguf", work);
    assert_int_equal(symlink("../../blobs/gone", path), 0);
    assert_int_equal(hub_cache_find(&n, &m, quants, sizeof quants), HUB_SET);
    (void)snprintf(path, sizeof path, "%s/" MODEL "/snapshots/" SHA1 "/L-F16.gguf", work);
    assert_string_equal(m.path[HUB_MAIN], path);
    assert_non_null(strstr(m.path[HUB_MMPROJ], "/mmproj-L-Q8_0.gguf"));
    assert_string_equal(m.path[HUB_VOCODER], ""); /* its bytes are not here */
    assert_true(hub_name_parse("a/b:Q4_0", &n));
    assert_int_equal(hub_cache_find(&n, &m, quants, sizeof quants), HUB_NO_QUANT);
    assert_string_equal(quants, "F16");
    assert_true(hub_name_parse("a/b@" SHA1, &n));
    assert_int_equal(hub_cache_find(&n, &m, quants, sizeof quants), HUB_SET);
    assert_true(hub_name_parse("a/b@v1", &n));
    assert_int_equal(hub_cache_find(&n, &m, quants, sizeof quants), HUB_NO_MODEL);
    put(MODEL "/refs/v1", "../../../../etc");
    assert_int_equal(hub_cache_find(&n, &m, quants, sizeof quants), HUB_NO_MODEL);
    (void)snprintf(command, sizeof command, "rm -r %s", work);
    assert_int_equal(system(command), 0);
    clear_environment();
}

/* ---- Sums and addresses ---- */

static void known_sums(void **state) {
    (void)state;
    char hex[DIGEST_HEX_CAP];
    digest *d = digest_open(DIGEST_SHA256, 3);
    assert_non_null(d);
    digest_add(d, "a", 1);
    digest_add(d, "bc", 2);
    assert_true(digest_end(&d, hex));
    assert_null(d);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    d = digest_open(DIGEST_GIT_BLOB, 6); /* printf 'hello\n' | git hash-object --stdin */
    digest_add(d, "hello\n", 6);
    assert_true(digest_end(&d, hex));
    assert_string_equal(hex, "ce013625030ba8dba906f756967f9e9ca394464a");
    d = digest_open(DIGEST_GIT_BLOB, 0);
    assert_true(digest_end(&d, hex));
    assert_string_equal(hex, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

static void where_we_go(void **state) {
    (void)state;
    static const struct {
        const char *url, *from;
        bool good;
    } rows[] = {
        {"https://huggingface.co", NULL, true},
        {"HTTPS://huggingface.co/x", NULL, true},
        {"http://127.0.0.1:8000/x", NULL, true},
        {"http://localhost/x", NULL, true},
        {"http://[::1]:80/", NULL, true},
        {"http://huggingface.co", NULL, false},
        {"http://127.0.0.1.example.com", NULL, false},
        {"http://localhost.example.com", NULL, false},
        {"http://0.0.0.0", NULL, false},
        {"http://[::]/", NULL, false},
        {"https://user@example.com", NULL, false},
        {"https://user:secret@example.com", NULL, false},
        {"http://127.0.0.1@example.com", NULL, false},
        {"http://example.com#@127.0.0.1", NULL, false},
        {"ftp://example.com", NULL, false},
        {"file:///etc/passwd", NULL, false},
        {"file://localhost/etc/passwd", NULL, false},
        {"gopher://127.0.0.1", NULL, false},
        {"https://", NULL, false},
        {"https://a b", NULL, false},
        {"", NULL, false},
        {"https://cdn.example.com/x", "https://huggingface.co", true},
        {"http://127.0.0.1/x", "https://huggingface.co", false},
        {"http://localhost/x", "https://localhost", false},
        {"http://cdn.example.com/x", "https://huggingface.co", false},
        {"file:///etc/passwd", "https://huggingface.co", false},
        {"http://localhost:2/x", "http://127.0.0.1:1/y", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if ((http_url_fault(rows[i].url, rows[i].from) == NULL) != rows[i].good)
            fail_msg("%s from %s", rows[i].url, rows[i].from != NULL ? rows[i].from : "a person");
    assert_true(http_same_origin("https://a.b/x", "https://A.b:443/y?z"));
    assert_false(http_same_origin("https://a.b", "http://a.b"));
    assert_false(http_same_origin("https://a.b", "https://a.b:444"));
    assert_false(http_same_origin("https://a.b", "https://c.b"));
    assert_false(http_same_origin("https://a.b", "https://a.b.c"));
}

static void addresses_of_the_hub(void **state) {
    (void)state;
    hub h;
    hub_name n;
    char path[HUB_FILE_PATH_MAX + 1], url[HTTP_URL_CAP];
    clear_environment();
    assert_int_equal(hub_open(&h), 0);
    assert_true(hub_address_parse(&h, "https://huggingface.co/a/b/resolve/v1/x/y.gguf?download=1",
                                  &n, path));
    assert_string_equal(n.repo, "a/b");
    assert_string_equal(n.revision, "v1");
    assert_string_equal(path, "x/y.gguf");
    assert_true(hub_address_parse(&h, "https://huggingface.co/a/b/blob/main/y", &n, path));
    assert_false(hub_address_parse(&h, "https://huggingface.co/a/b/blob/main/../y", &n, path));
    assert_false(hub_address_parse(&h, "https://huggingface.co/a/b/tree/main", &n, path));
    assert_false(hub_address_parse(&h, "https://huggingface.com/a/b/blob/main/y", &n, path));
    assert_false(hub_address_parse(&h, "https://huggingface.co/a/b/resolve/main/", &n, path));
    assert_false(hub_address_parse(&h, "https://huggingface.co/a/b:q4/resolve/main/y", &n, path));
    assert_true(hub_file_url(&h, "a/b", SHA1, "x y/\xC3\xA4#?%.json", url));
    assert_string_equal(url,
                        "https://huggingface.co/a/b/resolve/" SHA1 "/x%20y/%C3%A4%23%3F%25.json");
    hub_close(&h);
}

static void what_the_environment_may_not_say(void **state) {
    (void)state;
    hub h;
    clear_environment();
    (void)setenv("HF_ENDPOINT", "https://mirror.example.com/hf//", 1);
    (void)setenv("HF_TOKEN", " hf_abc\n", 1);
    assert_int_equal(hub_open(&h), 0);
    assert_string_equal(h.endpoint, "https://mirror.example.com/hf");
    assert_string_equal(h.token, "hf_abc");
    hub_close(&h);
    assert_string_equal(h.token, "");
    static const char *const endpoints[] = {"http://example.com", "file:///x", "https://u:p@a.b",
                                            "https://a.b/?x", "mirror"};
    for (size_t i = 0; i < COUNT(endpoints); i++) {
        (void)setenv("HF_ENDPOINT", endpoints[i], 1);
        assert_int_equal(hub_open(&h), 2);
        hub_close(&h);
    }
    clear_environment();
    static const char *const tokens[] = {"a b", "a\r\nHost: x", "\xC3\xA4"};
    for (size_t i = 0; i < COUNT(tokens); i++) {
        (void)setenv("HF_TOKEN", tokens[i], 1);
        assert_int_equal(hub_open(&h), 2);
        hub_close(&h);
    }
    clear_environment();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_models),
        cmocka_unit_test(long_names_are_refused),
        cmocka_unit_test(names_of_files),
        cmocka_unit_test(a_listing_is_taken),
        cmocka_unit_test(a_bad_listing_is_refused),
        cmocka_unit_test(licences_and_commits),
        cmocka_unit_test(the_official_set),
        cmocka_unit_test(other_layouts),
        cmocka_unit_test(files_of_a_folder),
        cmocka_unit_test(where_the_cache_lies),
        cmocka_unit_test(what_is_found_in_it),
        cmocka_unit_test(known_sums),
        cmocka_unit_test(where_we_go),
        cmocka_unit_test(addresses_of_the_hub),
        cmocka_unit_test(what_the_environment_may_not_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
