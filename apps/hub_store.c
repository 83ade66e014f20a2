#include "apps/hub_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/ending.h"
#include "apps/folders.h"
#include "apps/messages.h"
#include "core/folder.h"

enum { LINK_CAP = 1024 };

static int cannot_write(const char *root, const char *name) {
    const int fault = errno;
    const bool link = fault == ELOOP || fault == ENOTDIR;
    return complain(EXIT_FAILED, "%s/%s: cannot be written: %s%s", root, name, strerror(fault),
                    link ? "; a link or a file lies in the place of a folder of the cache, "
                           "remove it or set HF_HUB_CACHE"
                         : "");
}

static int no_home(void) {
    return complain(EXIT_FAILED, "there is no place for the cache of models: HOME is not set; set "
                                 "HF_HUB_CACHE");
}

bool hub_store_is_new(const char *repo) {
    char root[HUB_CACHE_PATH_CAP], folder[HUB_REPO_CAP + 16];
    char path[HUB_CACHE_PATH_CAP + HUB_REPO_CAP + 32];
    if (!hub_cache_root(root)) return true;
    hub_cache_folder_name(repo, folder);
    (void)snprintf(path, sizeof path, "%s/%s/blobs", root, folder);
    return access(path, F_OK) != 0;
}

int hub_store_open(hub_store *s, const char *repo) {
    *s = (hub_store){.model = -1, .blobs = -1, .locks = -1};
    char folder[HUB_REPO_CAP + 16];
    hub_cache_folder_name(repo, folder);
    if (!hub_cache_root(s->root)) return no_home();
    if (!folders_make(s->root, 0777)) return cannot_write(s->root, "");
    const int root = open(s->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int locks = root >= 0 ? folder_below(root, ".locks") : -1;
    if (locks >= 0) s->locks = folder_below(locks, folder);
    if (s->locks >= 0) s->model = folder_below(root, folder);
    if (s->model >= 0) s->blobs = folder_below(s->model, "blobs");
    const int code = s->blobs >= 0 ? EXIT_OK : cannot_write(s->root, folder);
    if (locks >= 0) (void)close(locks);
    if (root >= 0) (void)close(root);
    return code;
}

void hub_store_close(hub_store *s) {
    for (size_t i = 0; i < s->held_count; i++) (void)close(s->held[i]);
    free(s->held);
    if (s->locks >= 0) (void)close(s->locks);
    if (s->blobs >= 0) (void)close(s->blobs);
    if (s->model >= 0) (void)close(s->model);
    *s = (hub_store){.model = -1, .blobs = -1, .locks = -1};
}

/* ---- Locks ---- */

/* Takes the lock of an open file. The file may have been removed meanwhile: then *gone. */
static bool take_lock(int fd, const char *name, bool *gone) {
    bool told = false;
    struct stat st;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || interrupted()) return false;
        if (!told) (void)fprintf(stderr, "runnel: %s: another program fetches it, waiting\n", name);
        told = true;
        (void)poll(NULL, 0, 100);
    }
    *gone = fstat(fd, &st) == 0 && st.st_nlink == 0;
    return true;
}

int hub_store_lock(hub_store *s, const char *sum, const char *name) {
    char file[DIGEST_HEX_CAP + 8];
    (void)snprintf(file, sizeof file, "%s.lock", sum);
    int *grown = realloc(s->held, (s->held_count + 1) * sizeof *grown);
    if (grown == NULL) return complain(EXIT_FAILED, "%s: memory is exhausted", name);
    s->held = grown;
    for (bool gone = true; gone;) {
        const int fd = openat(s->locks, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0) return cannot_write(s->root, ".locks");
        if (take_lock(fd, name, &gone)) {
            if (!gone) s->held[s->held_count++] = fd;
            if (gone) (void)close(fd);
            continue;
        }
        const int fault = errno;
        (void)close(fd);
        if (interrupted()) return EXIT_STOPPED;
        errno = fault;
        return cannot_write(s->root, ".locks");
    }
    return EXIT_OK;
}

/* ---- Blobs, links, revisions ---- */

int hub_store_has(const hub_store *s, const char *sum, int64_t size, const char *name, bool *has) {
    struct stat st;
    *has = false;
    if (fstatat(s->blobs, sum, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? EXIT_OK : cannot_write(s->root, "blobs");
    if (!S_ISREG(st.st_mode))
        return complain(EXIT_FAILED,
                        "%s: in the place of its bytes (blobs/%s below %s) lies a link or a "
                        "folder; it is not followed, remove it",
                        name, sum, s->root);
    *has = st.st_size == size;
    return EXIT_OK;
}

/* Opens the folder that `path` is to lie in, below `folder` of the model; *leaf: its last part;
 * *depth: folders between. -1: errno says why. */
static int open_place(const hub_store *s, const char *folder, const char *path, const char **leaf,
                      int *depth) {
    char part[HUB_FILE_PATH_MAX + 1];
    int at = folder_below(s->model, folder);
    *depth = 0;
    for (const char *slash; at >= 0 && (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        (void)snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        const int below = folder_below(at, part);
        const int fault = errno;
        (void)close(at);
        errno = fault;
        at = below;
        ++*depth;
    }
    *leaf = path;
    return at;
}

/* Puts a link there, over an older one. A file stays: where there are no links, Python puts the
 * bytes themselves. */
static bool put_link(int at, const char *leaf, const char *target) {
    struct stat st;
    char old[LINK_CAP], temporary[64];
    if (symlinkat(target, at, leaf) == 0) return true;
    if (errno != EEXIST || fstatat(at, leaf, &st, AT_SYMLINK_NOFOLLOW) != 0) return false;
    if (S_ISREG(st.st_mode)) return true;
    if (!S_ISLNK(st.st_mode)) {
        errno = ENOTDIR;
        return false;
    }
    const ssize_t size = readlinkat(at, leaf, old, sizeof old - 1);
    old[size > 0 ? size : 0] = '\0';
    if (strcmp(old, target) == 0) return true;
    (void)snprintf(temporary, sizeof temporary, ".link-%ld", (long)getpid());
    (void)unlinkat(at, temporary, 0);
    return symlinkat(target, at, temporary) == 0 && renameat(at, temporary, at, leaf) == 0;
}

int hub_store_link(const hub_store *s, const char *commit, const char *path, const char *sum) {
    char target[LINK_CAP] = "", below[DIGEST_HEX_CAP + HUB_FILE_PATH_MAX + 2];
    const char *leaf;
    int depth;
    (void)snprintf(below, sizeof below, "%s/%s", commit, path);
    const int at = open_place(s, "snapshots", below, &leaf, &depth);
    size_t size = 0;
    for (int i = 0; i <= depth && size + 4 < sizeof target; i++, size += 3)
        strcpy(target + size, "../");
    (void)snprintf(target + size, sizeof target - size, "blobs/%s", sum);
    const bool good = at >= 0 && put_link(at, leaf, target);
    const int code = good ? EXIT_OK : cannot_write(s->root, path);
    if (at >= 0) (void)close(at);
    return code;
}

static bool put_text(int at, const char *leaf, const char *text) {
    char temporary[64];
    (void)snprintf(temporary, sizeof temporary, ".ref-%ld", (long)getpid());
    (void)unlinkat(at, temporary, 0);
    const int fd =
        openat(at, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    const size_t size = strlen(text);
    const bool good = write(fd, text, size) == (ssize_t)size && fsync(fd) == 0;
    const int fault = errno;
    (void)close(fd);
    if (good && renameat(at, temporary, at, leaf) == 0) return true;
    if (!good) errno = fault;
    (void)unlinkat(at, temporary, 0);
    return false;
}

int hub_store_ref(const hub_store *s, const char *revision, const char *commit) {
    const char *leaf;
    int depth;
    if (strcmp(revision, commit) == 0) return EXIT_OK;
    const int at = open_place(s, "refs", revision, &leaf, &depth);
    const int code =
        at >= 0 && put_text(at, leaf, commit) ? EXIT_OK : cannot_write(s->root, "refs");
    if (at >= 0) (void)close(at);
    return code;
}

/* ---- Removing ---- */

/* Whether somebody holds one of the locks of a folder. */
static bool is_locked(int locks, const char *folder) {
    const int fd = openat(locks, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *all = fd >= 0 ? fdopendir(fd) : NULL;
    if (all == NULL) {
        if (fd >= 0) (void)close(fd);
        return false;
    }
    bool locked = false;
    const struct dirent *e;
    while (!locked && (e = readdir(all)) != NULL) {
        const int file = openat(fd, e->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (file < 0) continue; /* "." and ".." among them */
        locked = flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        (void)close(file);
    }
    (void)closedir(all);
    return locked;
}

int hub_store_remove(const char *repo) {
    char root[HUB_CACHE_PATH_CAP], folder[HUB_REPO_CAP + 16];
    struct stat st;
    hub_cache_folder_name(repo, folder);
    if (!hub_cache_root(root)) return no_home();
    const int at = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0 || fstatat(at, folder, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (at >= 0) (void)close(at);
        return complain(EXIT_FAILED, "%s is not in the cache; see `runnel models`", repo);
    }
    const int locks = openat(at, ".locks", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int code = EXIT_OK;
    if (locks >= 0 && is_locked(locks, folder))
        code = complain(EXIT_FAILED, "%s is being fetched; wait for that, or stop it", repo);
    if (code == EXIT_OK &&
        (!folder_remove(at, folder) || (locks >= 0 && !folder_remove(locks, folder))))
        code = cannot_write(root, folder);
    if (locks >= 0) (void)close(locks);
    (void)close(at);
    return code;
}
