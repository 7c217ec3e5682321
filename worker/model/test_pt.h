/* test_pt.h - the file that the tests of torch files write and read, in a folder of its own. Include after cmocka.h. */
#ifndef MODEL_TEST_PT_H
#define MODEL_TEST_PT_H

#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "worker/model/pt.h"

static char root[] = "/tmp/mendel-pt-XXXXXX";
static char *path; /* of the file under test */

static inline int make_root(void **state)
{
    (void)state;
    if (!mkdtemp(root)) return -1;
    path = path_join(root, "file.pt");
    return path ? 0 : -1;
}

static inline int remove_root(void **state)
{
    (void)state;
    free(path);
    return fs_remove(root) == OK ? 0 : -1;
}

static inline pt_file *open_good(void)
{
    pt_file *f;
    if (pt_open(path, &f) != OK) fail_msg("%s", status_message());
    return f;
}

/* One sentence that names the file, and nothing is returned. */
static inline void expect_refused(status expected, const char *words)
{
    pt_file *f;
    status s = pt_open(path, &f);
    assert_null(f);
    if (s != expected || !strstr(status_message(), words) || !strstr(status_message(), path))
        fail_msg("status %d: %s; '%s' was expected", s, status_message(), words);
}

#endif
