#define _DEFAULT_SOURCE /* madvise, MAP_ANONYMOUS */
#include "core/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/status.h"

static rnl_status map(int fd, const char *path, mapped *out, rnl_error *error) {
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return status_fail(error, RNL_ERR_IO, "%s: this is no regular file; name a model file",
                           path);
    if (info.st_size <= 0)
        return status_fail(error, RNL_ERR_FORMAT, "%s: the file is empty; download it again", path);
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be mapped: %s", path, strerror(errno));
    *out = (mapped){.data = data, .size = (size_t)info.st_size};
    return RNL_OK;
}

rnl_status mapped_refuse_pointer(const char *path, const void *data, size_t size,
                                 rnl_error *error) {
    const char *head = "version https://git-lfs.github.com/spec/";
    if (size < strlen(head) || size > 4096 || memcmp(data, head, strlen(head)) != 0) return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: this is a Git LFS pointer, not the file itself; fetch it with `git lfs "
                       "pull`",
                       path);
}

rnl_status mapped_open(const char *path, mapped *out, rnl_error *error) {
    *out = (mapped){0};
    /* O_NONBLOCK: a pipe of that name must not make us wait for a writer. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    rnl_status status = map(fd, path, out, error);
    close(fd);
    if (status == RNL_OK) status = mapped_refuse_pointer(path, out->data, out->size, error);
    if (status != RNL_OK) mapped_close(out);
    return status;
}

void mapped_close(mapped *m) {
    if (m->data != NULL) munmap((void *)m->data, m->size);
    *m = (mapped){0};
}

rnl_status mapped_memory(size_t size, bool huge_pages, mapped *out) {
    *out = (mapped){0};
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return RNL_ERR_MEMORY;
    /* A wish: small pages serve as well. */
    (void)madvise(data, size, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    *out = (mapped){.data = data, .size = size};
    return RNL_OK;
}

rnl_status mapped_lasting(size_t size, mapped *out) {
    *out = (mapped){0};
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return RNL_ERR_MEMORY;
    *out = (mapped){.data = data, .size = size};
    return RNL_OK;
}

void mapped_forget(const void *data, size_t size) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)data;
    const uintptr_t begin = (at + page - 1) / page * page, end = (at + size) / page * page;
    if (begin < end) (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}
