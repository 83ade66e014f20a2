#include "search/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/status.h"

enum { LOG_SIZE_MAX = 1 << 30 };

static rnl_status fail(search_log *l, const char *what, rnl_error *error) {
    const int why = errno != 0 ? errno : EIO;
    return status_fail(error, RNL_ERR_IO, "%s: cannot be %s: %s", l->path, what, strerror(why));
}

static rnl_status no_memory(const search_log *l, rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted",
                       l->path != NULL ? l->path : "the log");
}

/* Bytes up to the last line end. */
static size_t whole_lines(const char *text, size_t size) {
    while (size > 0 && text[size - 1] != '\n') size--;
    return size;
}

static rnl_status read_all(search_log *l, rnl_error *error) {
    struct stat info;
    errno = 0;
    if (fstat(fileno(l->file), &info) != 0) return fail(l, "read", error);
    if (!S_ISREG(info.st_mode) || info.st_size > LOG_SIZE_MAX)
        return status_fail(error, RNL_ERR_IO, "%s: is no regular file of up to 1 GiB", l->path);
    const size_t size = (size_t)info.st_size;
    l->text = malloc(size + 1);
    if (l->text == NULL) return no_memory(l, error);
    if (fread(l->text, 1, size, l->file) != size) return fail(l, "read", error);
    l->size = whole_lines(l->text, size);
    return RNL_OK;
}

static rnl_status begin(search_log *l, const char *path, rnl_error *error) {
    *l = (search_log){.path = strdup(path)};
    return l->path != NULL ? RNL_OK : no_memory(l, error);
}

rnl_status search_log_open(search_log *l, const char *path, rnl_error *error) {
    rnl_status status = begin(l, path, error);
    if (status != RNL_OK) return status;
    /* O_NONBLOCK: a pipe of that name must not make us wait for a writer. */
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    l->file = fd >= 0 ? fdopen(fd, "r+b") : NULL;
    if (l->file == NULL) {
        status = fail(l, "opened", error);
        if (fd >= 0) close(fd);
        return status;
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) != 0 && (errno == EACCES || errno == EAGAIN))
        return status_fail(error, RNL_ERR_IO, "%s: another search is writing to it", path);
    status = read_all(l, error);
    if (status != RNL_OK) return status;
    if (ftruncate(fd, (off_t)l->size) != 0 || fseek(l->file, 0, SEEK_END) != 0)
        return fail(l, "written", error);
    return RNL_OK;
}

rnl_status search_log_open_read(search_log *l, const char *path, rnl_error *error) {
    rnl_status status = begin(l, path, error);
    if (status != RNL_OK) return status;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    l->file = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (l->file == NULL) {
        status = fail(l, "opened", error);
        if (fd >= 0) close(fd);
        return status;
    }
    status = read_all(l, error);
    (void)fclose(l->file);
    l->file = NULL;
    return status;
}

rnl_status search_log_of_text(search_log *l, const char *name, const char *text, size_t size,
                              rnl_error *error) {
    const rnl_status status = begin(l, name, error);
    if (status != RNL_OK) return status;
    l->text = malloc(size + 1);
    if (l->text == NULL) return no_memory(l, error);
    l->size = whole_lines(text, size);
    if (l->size > 0) memcpy(l->text, text, l->size);
    return RNL_OK;
}

void search_log_close(search_log *l) {
    if (l->file != NULL) (void)fclose(l->file);
    free(l->path);
    free(l->text);
    *l = (search_log){0};
}

rnl_status search_log_next(search_log *l, json **line, rnl_error *error) {
    rnl_error inner = {0};
    *line = NULL;
    if (l->at == l->size) return RNL_OK;
    const char *begins = l->text + l->at;
    const char *end = memchr(begins, '\n', l->size - l->at); /* there is one: whole_lines */
    const size_t size = (size_t)(end - begins);
    l->at += size + 1;
    l->line++;
    const rnl_status status = json_parse(begins, size, "the line", line, &inner);
    if (status == RNL_OK && json_is_object(*line)) return RNL_OK;
    json_destroy(line);
    if (status == RNL_ERR_MEMORY) return no_memory(l, error);
    return search_log_refuse(l, "is no JSON object", error);
}

rnl_status search_log_append(search_log *l, json_draft *line, rnl_error *error) {
    char *text = json_text_exact(line);
    json_drop(&line);
    if (l->file == NULL) {
        free(text);
        return status_fail(error, RNL_ERR_STATE, "%s: ends behind line %d", l->path, l->line);
    }
    if (text == NULL) return no_memory(l, error);
    errno = 0;
    const bool written =
        fputs(text, l->file) >= 0 && fputc('\n', l->file) != EOF && fflush(l->file) == 0;
    free(text);
    l->line++;
    return written ? RNL_OK : fail(l, "written", error);
}

rnl_status search_log_refuse(const search_log *l, const char *what, rnl_error *error) {
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: line %d %s; the log is damaged or of another search: begin anew in "
                       "another folder",
                       l->path, l->line, what);
}
