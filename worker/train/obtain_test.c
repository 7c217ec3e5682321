/* obtain.c with a server of this test's own, in a working directory of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <zip.h>

#include "common/fs.h"
#include "common/log.h"
#include "worker/data/test_http.h"
#include "worker/train/obtain.h"

enum { WEIGHTS = 1200000 };

static char root[] = "/tmp/mendel-obtain-XXXXXX";
static char *weights, *archive, *before;
static size_t archive_bytes;
static http_server server;
static http_answer answers[5];

/* A data set of two pictures below set/, as an archive. */
static void make_archive(void)
{
    static const char *const names[] = {"set/images/train/a.jpg", "set/images/val/b.jpg", "set/labels/train/a.txt"};
    zip_t *z = zip_open("made.zip", ZIP_CREATE | ZIP_TRUNCATE, NULL);
    assert_non_null(z);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_true(zip_file_add(z, names[i], zip_source_buffer(z, names[i], strlen(names[i]), 0), 0) >= 0);
    assert_int_equal(zip_close(z), 0);
    assert_int_equal(fs_read("made.zip", 0, &archive, &archive_bytes), OK);
}

static int start(void **state)
{
    (void)state;
    log_set_level(LEVEL_SILENT);
    before = getcwd(NULL, 0);
    weights = calloc(WEIGHTS, 1);
    strcpy(strrchr(root, '-') + 1, "XXXXXX");
    if (!before || !weights || !mkdtemp(root) || chdir(root) || mkdir("work", 0777) || chdir("work")) return -1;
    make_archive();
    unlink("made.zip");
    answers[0] = (http_answer){"/mirror/yolov5s.pt", 200, NULL, weights, WEIGHTS, 0};
    answers[1] = (http_answer){"/mirror/yolov5m.pt", 200, NULL, "not found, sorry", 16, 0};
    answers[2] = (http_answer){"/set.zip", 200, NULL, archive, archive_bytes, 0};
    answers[3] = (http_answer){"/cut.zip", 200, NULL, archive, archive_bytes / 2, 0};
    answers[4] = (http_answer){NULL, 404, NULL, "", 0, 0};
    http_start(&server, answers);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_stop(&server);
    int failed = chdir(before);
    free(before), free(weights), free(archive);
    return fs_remove(root) == OK ? failed : -1;
}

static const char *url_of(const char *path)
{
    static char url[128];
    snprintf(url, sizeof url, "%s%s", server.url, path);
    return url;
}

static void expect_names(const char *folder, const char *wanted)
{
    fs_names names;
    char found[256] = "";
    assert_int_equal(fs_list(folder, &names), OK);
    for (size_t i = 0; i < names.count; i++) {
        strcat(found, i ? " " : "");
        strncat(found, names.names[i], 60);
    }
    fs_names_free(&names);
    assert_string_equal(found, wanted);
}

/* ---- weights ---- */

static void official_weights_are_fetched_once(void **state)
{
    (void)state;
    const char *mirror = url_of("/mirror");
    if (obtain_weights("yolov5s.pt", mirror) != OK) fail_msg("%s", status_message());
    expect_names(".", "yolov5s.pt");
    struct stat about;
    assert_int_equal(stat("yolov5s.pt", &about), 0);
    assert_int_equal(about.st_size, WEIGHTS);
    assert_int_equal(fs_write("yolov5s.pt", "mine", 4), OK);
    assert_int_equal(obtain_weights("yolov5s.pt", mirror), OK); /* what is there is left alone, also below a folder */
    assert_int_equal(mkdir("weights", 0777), 0);
    assert_int_equal(rename("yolov5s.pt", "weights/yolov5s.pt"), 0);
    assert_int_equal(obtain_weights("yolov5s.pt", mirror), OK);
    expect_names(".", "weights");
}

static void other_names_are_not_asked_for(void **state)
{
    (void)state;
    static const char *const names[] = {"", "best.pt", "yolov5q.pt", "yolov5s.pt.bak", "runs/exp0/weights/last.pt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(obtain_weights(names[i], url_of("")), OK);
    expect_names(".", "");
}

static void what_cannot_be_fetched_is_said_with_a_way_out(void **state)
{
    (void)state;
    static const char *const names[] = {"yolov5m.pt", "yolov5x.pt"}; /* an error page; nothing */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_not_equal(obtain_weights(names[i], url_of("/mirror/")), OK);
        assert_non_null(strstr(status_message(), names[i]));
        assert_non_null(strstr(status_message(), "--weights-url"));
        assert_non_null(strstr(status_message(), i ? "--cfg yolov5x.yaml" : "--cfg yolov5m.yaml"));
    }
    expect_names(".", "");
}

static void the_environment_names_a_mirror(void **state)
{
    (void)state;
    unsetenv("MENDEL_WEIGHTS_URL");
    assert_non_null(strstr(obtain_weights_url(), "https://github.com/"));
    setenv("MENDEL_WEIGHTS_URL", "http://mirror", 1);
    assert_string_equal(obtain_weights_url(), "http://mirror");
    unsetenv("MENDEL_WEIGHTS_URL");
}

/* ---- data sets ---- */

static status obtain(const char *val, const char *download, bool scripts)
{
    char words[512];
    int length = snprintf(words, sizeof words, "train: %s\nval: [%s]\nnc: 1\nnames: [a]\n", val, val);
    if (download) snprintf(words + length, sizeof words - (size_t)length, "download: %s\n", download);
    assert_int_equal(fs_write("data.yaml", words, strlen(words)), OK);
    status s = obtain_data("data.yaml", scripts);
    assert_int_equal(unlink("data.yaml"), 0);
    return s;
}

static void an_archive_is_unpacked_where_it_is_looked_for(void **state)
{
    (void)state;
    char absolute[300];
    snprintf(absolute, sizeof absolute, "%s/far/off/set/images/val", root);
    static const char *const looked_for[] = {"../set/images/val", "set/images/val", "below/set/images/val"};
    for (size_t i = 0; i < 4; i++) {
        const char *val = i < 3 ? looked_for[i] : absolute;
        if (obtain(val, url_of("/set.zip"), false) != OK) fail_msg("%s", status_message());
        assert_true(fs_is_folder(val));
        assert_false(fs_exists("set.zip"));
    }
    expect_names("../set/images/val", "b.jpg");
    assert_int_equal(obtain("elsewhere/val", url_of("/set.zip"), false),
                     OK); /* no such folder in it: as the reference */
    expect_names("..", "far set work");
}

static void what_is_there_is_not_fetched(void **state)
{
    (void)state;
    assert_int_equal(mkdir("here", 0777), 0);
    assert_int_equal(obtain("here", url_of("/nothing.zip"), false), OK);
    assert_int_equal(obtain("missing", NULL, true), OK); /* nothing to be done: its reader says so */
    assert_int_equal(obtain_data("none.yaml", true), OK);
    expect_names(".", "here");
}

static void a_bad_archive_leaves_nothing(void **state)
{
    (void)state;
    assert_int_not_equal(obtain("set/val", url_of("/cut.zip"), false), OK);
    assert_non_null(strstr(status_message(), "data.yaml: set/val is not there"));
    assert_int_not_equal(obtain("set/val", url_of("/nothing.zip"), false), OK);
    assert_non_null(strstr(status_message(), "404"));
    expect_names(".", "");
    expect_names("..", "work");
}

static void a_script_needs_a_word(void **state)
{
    (void)state;
    assert_int_equal(obtain("made/val", "mkdir -p made/val", false), ERR_REFUSED);
    assert_non_null(strstr(status_message(), "--allow-download-script: mkdir -p made/val"));
    expect_names(".", "");
    assert_int_equal(obtain("made/val", "exit 7", true), ERR_IO);
    assert_non_null(strstr(status_message(), "exit status 7"));
    assert_int_equal(obtain("made/val", "mkdir -p made/val", true), OK);
    assert_true(fs_is_folder("made/val"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(official_weights_are_fetched_once),
        CASE(other_names_are_not_asked_for),
        CASE(what_cannot_be_fetched_is_said_with_a_way_out),
        CASE(the_environment_names_a_mirror),
        CASE(an_archive_is_unpacked_where_it_is_looked_for),
        CASE(what_is_there_is_not_fetched),
        CASE(a_bad_archive_leaves_nothing),
        CASE(a_script_needs_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
