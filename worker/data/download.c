#include "worker/data/download.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/progress.h"
#include "common/signals.h"
#include "common/text.h"

enum { CONNECT_SECONDS = 30, SILENT_SECONDS = 60, REDIRECTIONS_MOST = 10 };
static const char protocols[] = "http,https"; /* of redirections, too: none may lead to a file of this machine */

typedef struct transfer {
    const char *path;
    int descriptor;
    int64_t written;
    status result; /* of writing */
    progress bar;
    bool shown;
    char words[CURL_ERROR_SIZE];
} transfer;

static size_t take(char *bytes, size_t size, size_t count, void *state)
{
    transfer *t = state;
    t->result = fs_write_all(t->descriptor, bytes, size * count, t->path);
    if (t->result != OK) return 0;
    t->written += (int64_t)(size * count);
    return size * count;
}

/* Megabytes, as far as it is known how many there are. Anything but 0 ends the transfer. */
static int show(void *state, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
    enum { MEGABYTE = 1000000 };
    transfer *t = state;
    (void)up_total, (void)up;
    if (total > 0 && !t->shown) progress_start(&t->bar, (total + MEGABYTE - 1) / MEGABYTE, "MB");
    t->shown |= total > 0;
    if (t->shown) progress_show(&t->bar, now / MEGABYTE, path_name(t->path));
    return signals_seen() != SIGNAL_NONE;
}

static status configure(CURL *c, const char *url, transfer *t)
{
    bool good = curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, protocols) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTIONS_MOST) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SILENT_SECONDS) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_USERAGENT, "mendel/" MENDEL_VERSION) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->words) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_WRITEDATA, t) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, show) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_XFERINFODATA, t) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
    return good ? OK : FAIL(ERR_MEMORY, "libcurl cannot be set up");
}

/* What became of it, with the URL in front. curl itself notices a transfer that ends before what was announced. */
static status judge(CURL *c, CURLcode code, const char *url, const transfer *t, int64_t least)
{
    long answer = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &answer);
    if (t->result != OK) return t->result;
    if (code == CURLE_OK && t->written >= least) return OK;
    if (code == CURLE_OK)
        return FAIL(ERR_FORMAT, "%s has only %lld bytes, at least %lld were expected", url, (long long)t->written,
                    (long long)least);
    if (code == CURLE_ABORTED_BY_CALLBACK) return FAIL(ERR_STOPPED, "the download of %s was stopped", url);
    status s = answer == 404                                                       ? ERR_NOT_FOUND
               : code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ? ERR_ARGUMENT
               : code == CURLE_OUT_OF_MEMORY                                       ? ERR_MEMORY
                                                                                   : ERR_IO;
    return FAIL(s, "cannot download %s: %s", url, *t->words ? t->words : curl_easy_strerror(code));
}

static status transfer_into(const char *url, transfer *t, int64_t least)
{
    CURL *c = curl_easy_init();
    status s = c ? configure(c, url, t) : FAIL(ERR_MEMORY, "libcurl cannot be started");
    if (s == OK) {
        CURLcode code = curl_easy_perform(c);
        s = judge(c, code, url, t, least);
        if (s == OK && t->shown) progress_finish(&t->bar, path_name(t->path));
    }
    curl_easy_cleanup(c);
    return s;
}

status download_file(const char *url, const char *path, int64_t least)
{
    transfer t = {.path = path};
    char *part = NULL;
    TRY(fs_replace_start(path, 0644, &t.descriptor, &part));
    log_info("Downloading %s to %s", url, path);
    status s = fs_replace_finish(path, t.descriptor, part, transfer_into(url, &t, least));
    free(part);
    return s;
}
