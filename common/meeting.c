#include "common/meeting.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/text.h"

static const char scheme[] = "ipc://";
enum { RUN_ID_MOST = 64, RUN_FILE_MOST = 1 << 16, SOCKET_PATH_MOST = sizeof((struct sockaddr_un *)0)->sun_path - 1 };
/* A worker that looks whether a run is live holds its lock for a moment: an offer tries again for so long. */
static const int64_t lock_patience_ms = 1000;

struct meeting {
    char *run, *socket, *endpoint;
    int lock;
};

/* ---- the folder ---- */

/* Where the files may lie, the first choice first. NULL texts for what there is not. */
static status find_folders(char *folders[2])
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    text shared = {0};
    folders[0] = folders[1] = NULL;
    if (runtime && runtime[0] == '/' && fs_is_folder(runtime)) {
        folders[0] = path_join(runtime, "mendel");
        if (!folders[0]) return FAIL(ERR_MEMORY, "out of memory");
    }
    text_add(&shared, "/tmp/mendel-%ld", (long)geteuid());
    folders[1] = text_take(&shared);
    if (folders[1]) return OK;
    free(folders[0]);
    folders[0] = NULL;
    return FAIL(ERR_MEMORY, "out of memory");
}

static status check_folder(const char *folder)
{
    struct stat about;
    if (lstat(folder, &about)) return FAIL(fs_status_of_errno(errno), "cannot look at %s: %s", folder, strerror(errno));
    if (!S_ISDIR(about.st_mode)) return FAIL(ERR_REFUSED, "%s was expected to be a folder of the user's own", folder);
    if (about.st_uid != geteuid())
        return FAIL(ERR_REFUSED, "%s belongs to user %ld, so nobody else can meet there safely", folder,
                    (long)about.st_uid);
    if (about.st_mode & 077)
        return FAIL(ERR_REFUSED, "%s is open to others (mode %03o): chmod 700 it", folder,
                    (unsigned)about.st_mode & 0777);
    return OK;
}

static status make_folder(const char *folder)
{
    if (mkdir(folder, 0700) && errno != EEXIST)
        return FAIL(fs_status_of_errno(errno), "cannot make %s: %s", folder, strerror(errno));
    return check_folder(folder);
}

/* folder/RUNID.ending */
static char *file_of(const char *folder, const char *run_id, const char *ending)
{
    text path = {0};
    text_add(&path, "%s/%s.%s", folder, run_id, ending);
    return text_take(&path);
}

/* ---- offering ---- */

/* Lock a run's file as fs_lock does, but wait out those who only look, and see that the file that was locked still is the one at
 * this path (another coordinator may have withdrawn it meanwhile). */
static status lock_run(const char *path, int *descriptor)
{
    int64_t patience_ends = clock_ms() + lock_patience_ms;
    for (;;) {
        struct stat locked, there;
        status s = fs_lock(path, descriptor);
        if (s == OK && !fstat(*descriptor, &locked) && !stat(path, &there) && locked.st_ino == there.st_ino) return OK;
        if (s == OK) close(*descriptor);
        else if (s != ERR_BUSY) return s;
        if (clock_ms() >= patience_ends) return s == OK ? FAIL(ERR_BUSY, "%s comes and goes", path) : s;
        clock_sleep_ms(20);
    }
}

/* The run folder below the pid that fs_lock has written. */
static status write_folder(int descriptor, const char *path, const char *run_folder)
{
    char *whole = path_real(run_folder);
    text line = {0};
    if (!whole) return FAIL(ERR_NOT_FOUND, "no run folder %s", run_folder);
    text_add(&line, "%s\n", whole);
    free(whole);
    status s = text_status(&line);
    if (s == OK && lseek(descriptor, 0, SEEK_END) < 0) s = FAIL(ERR_IO, "write %s: %s", path, strerror(errno));
    if (s == OK) s = fs_write_all(descriptor, line.bytes, line.length, path);
    text_free(&line);
    return s;
}

static status offer_in(const char *folder, const char *run_id, const char *run_folder, meeting *m)
{
    TRY(make_folder(folder));
    m->run = file_of(folder, run_id, "run");
    m->socket = file_of(folder, run_id, "sock");
    m->endpoint = m->socket ? malloc(sizeof scheme + strlen(m->socket)) : NULL;
    if (!m->run || !m->endpoint) return FAIL(ERR_MEMORY, "out of memory");
    strcpy(stpcpy(m->endpoint, scheme), m->socket);
    status s = lock_run(m->run, &m->lock);
    if (s != OK) {
        m->lock = -1;
        return status_context(s, "another coordinator has this run");
    }
    TRY(write_folder(m->lock, m->run, run_folder));
    if (unlink(m->socket) && errno != ENOENT)
        return FAIL(fs_status_of_errno(errno), "cannot remove %s: %s", m->socket, strerror(errno));
    return OK;
}

static status check_run_id(const char *run_id)
{
    size_t length = strlen(run_id);
    bool fine = length > 0 && length <= RUN_ID_MOST;
    for (size_t i = 0; fine && i < length; i++) fine = isalnum((unsigned char)run_id[i]);
    return fine ? OK : FAIL(ERR_ARGUMENT, "a run's id is 1 to %d letters and digits", RUN_ID_MOST);
}

static bool fits(const char *folder, const char *run_id)
{
    return strlen(folder) + 1 + strlen(run_id) + strlen(".sock") <= SOCKET_PATH_MOST;
}

status meeting_offer(const char *run_id, const char *run_folder, meeting **out)
{
    char *folders[2];
    *out = NULL;
    TRY(check_run_id(run_id));
    TRY(find_folders(folders));
    meeting *m = calloc(1, sizeof *m);
    const char *folder = folders[0] && fits(folders[0], run_id) ? folders[0] : folders[1];
    status s = m ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (m) m->lock = -1;
    if (s == OK && !fits(folder, run_id))
        s = FAIL(ERR_RANGE, "the path of a socket in %s would be longer than %d bytes", folder, SOCKET_PATH_MOST);
    if (s == OK) s = offer_in(folder, run_id, run_folder, m);
    free(folders[0]);
    free(folders[1]);
    if (s == OK) *out = m;
    else meeting_withdraw(&m);
    return s;
}

const char *meeting_endpoint(const meeting *m)
{
    return m->endpoint;
}

void meeting_withdraw(meeting **m)
{
    if (!*m) return;
    if ((*m)->lock >= 0) { /* without the lock the files are somebody else's */
        unlink((*m)->socket);
        unlink((*m)->run);
        close((*m)->lock);
    }
    free((*m)->run);
    free((*m)->socket);
    free((*m)->endpoint);
    free(*m);
    *m = NULL;
}

/* ---- finding ---- */

typedef struct search {
    const char *wish; /* run folder, absolute; NULL: any */
    char *endpoint;   /* of the last live run seen */
    size_t live;
    text folders; /* of all live runs, a line each */
} search;

static bool is_live(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) return false;
    bool live = flock(descriptor, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    close(descriptor);
    return live;
}

/* The run folder in a .run file; NULL when it is not (yet) there. The caller frees. */
static char *read_folder(const char *path)
{
    char *bytes, *folder = NULL;
    size_t count;
    if (fs_read(path, RUN_FILE_MOST, &bytes, &count) != OK) return NULL;
    char *line = strchr(bytes, '\n'), *end = line ? strchr(line + 1, '\n') : NULL;
    if (end) folder = text_copy_bytes(line + 1, (size_t)(end - line - 1));
    free(bytes);
    return folder;
}

static status look_at(const char *place, const char *name, search *found)
{
    char *path = path_join(place, name), *folder = NULL;
    if (!path) return FAIL(ERR_MEMORY, "out of memory");
    status s = OK;
    if (is_live(path)) folder = read_folder(path);
    if (folder && (!found->wish || !strcmp(found->wish, folder))) {
        text endpoint = {0};
        text_add(&endpoint, "%s%.*ssock", scheme, (int)(strlen(path) - strlen("run")), path);
        free(found->endpoint);
        found->endpoint = text_take(&endpoint);
        found->live++;
        text_add(&found->folders, "\n  %s", folder);
        s = found->endpoint ? text_status(&found->folders) : FAIL(ERR_MEMORY, "out of memory");
    }
    free(folder);
    free(path);
    return s;
}

static status look_into(const char *place, search *found)
{
    fs_names names;
    struct stat about;
    if (lstat(place, &about) && errno == ENOENT) return OK;
    TRY(check_folder(place));
    TRY(fs_list(place, &names));
    status s = OK;
    for (size_t i = 0; s == OK && i < names.count; i++)
        if (text_ends_with(names.names[i], ".run")) s = look_at(place, names.names[i], found);
    fs_names_free(&names);
    return s;
}

static status choose(search *found, const char *run_folder)
{
    if (found->live == 1) return OK;
    if (found->live > 1)
        return FAIL(ERR_ARGUMENT, "several runs are live on this machine; choose one with --run:%s",
                    text_string(&found->folders));
    if (run_folder) return FAIL(ERR_NOT_FOUND, "no coordinator is running in %s on this machine", run_folder);
    return FAIL(ERR_NOT_FOUND, "no coordinator is running on this machine");
}

status meeting_find(const char *run_folder, char **endpoint)
{
    char *folders[2], *whole = NULL;
    search found = {0};
    *endpoint = NULL;
    if (run_folder && !(whole = path_real(run_folder))) return FAIL(ERR_NOT_FOUND, "no run folder %s", run_folder);
    found.wish = whole;
    status s = find_folders(folders);
    for (int i = 0; s == OK && i < 2; i++)
        if (folders[i]) s = look_into(folders[i], &found);
    if (s == OK) s = choose(&found, run_folder);
    if (s == OK) {
        *endpoint = found.endpoint;
        found.endpoint = NULL;
    }
    free(found.endpoint);
    text_free(&found.folders);
    free(folders[0]);
    free(folders[1]);
    free(whole);
    return s;
}
