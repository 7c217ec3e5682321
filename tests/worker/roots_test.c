/* The real worker program and a coordinator on another machine that means it badly: it may have candidates trained, and nothing else. */
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "common/text.h"
#include "tests/worker/test_worker.h"

/* A data yaml with this for its training pictures. Freed by the next call. */
static const char *data_of(const char *train)
{
    static text yaml;
    text_clear(&yaml);
    text_add(&yaml, "train: %s\nval: set/images/val\nnc: 1\nnames: [thing]\n", train);
    return text_string(&yaml);
}

/* Over TCP, where a coordinator is not of this machine: the worker's root is the folder `root`, with the data set in it; beside it lies
 * `outside`, with pictures too. */
typedef struct far {
    char endpoint[128], *root;
} far;

static far listen_afar(stage *s)
{
    far f;
    size_t room = sizeof f.endpoint;
    /* The same files as in the stage's own set, so that their digests are the same. */
    stage_write(s, "root/set/images/train/a.jpg", "not looked into");
    stage_write(s, "root/set/images/train/b.jpg", "not looked into either");
    stage_write(s, "root/set/images/val/c.jpg", "nor this");
    stage_write(s, "root/set/labels/train/a.txt", "0 0.5 0.5 0.1 0.1\n");
    stage_write(s, "outside/images/secret.jpg", "somebody else's");
    s->told_data = data_of("set/images/train");
    stage_hang_up(s);
    free(s->endpoint);
    s->endpoint = text_copy("tcp://127.0.0.1:*");
    stage_listen(s);
    assert_int_equal(zmq_getsockopt(s->router, ZMQ_LAST_ENDPOINT, f.endpoint, &room), 0);
    f.root = stage_path(s, "root");
    return f;
}

static void start_afar(stage *s, far *f)
{
    stage_start(s, "--coordinator", f->endpoint, "--insecure", "--data-root", f->root, NULL);
}

/* ---- the data set ---- */

static void no_path_leads_out_of_the_root(void **state)
{
    stage *s = *state;
    far f = listen_afar(s);
    char *outside = stage_path(s, "outside/images"), *link = stage_path(s, "root/link");
    assert_int_equal(symlink(outside, link), 0);
    char *const ways[] = {outside, (char *)"../outside/images", (char *)"set/../../outside/images", (char *)"link"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        s->told_data = data_of(ways[i]);
        start_afar(s, &f);
        expect_and_free(s, BODY(HELLO));
        stage_welcome(s, true);
        expect_end(s, 1, "which is not below the data root");
    }
    free(outside);
    free(link);
    free(f.root);
}

static void no_list_leads_out_of_the_root(void **state)
{
    stage *s = *state;
    far f = listen_afar(s);
    char *outside = stage_path(s, "outside/images/secret.jpg");
    text list = {0};
    text_add(&list, "./set/images/train/a.jpg\n%s\n", outside);
    stage_write(s, "root/list.txt", list.bytes);
    s->told_data = data_of("list.txt");
    start_afar(s, &f);
    expect_and_free(s, BODY(HELLO));
    stage_welcome(s, true);
    expect_end(s, 1, "secret.jpg, which is not below the data root");
    stage_write(s, "root/list.txt", "./set/images/train/a.jpg\n./set/images/train/b.jpg\n");
    start_afar(s, &f);
    stage_greet(s);
    finish(s);
    text_free(&list);
    free(outside);
    free(f.root);
}

/* What is of the same name in the working directory does not matter. */
static void relative_paths_start_at_the_root(void **state)
{
    stage *s = *state;
    far f = listen_afar(s);
    stage_write(s, "set/images/train/another.jpg", "which would be a different data set");
    start_afar(s, &f);
    stage_greet(s);
    finish(s);
    free(f.root);
}

/* The check is the worker's own, whatever the coordinator thinks of it. */
static void a_welcome_without_a_check_is_checked_all_the_same(void **state)
{
    stage *s = *state;
    far f = listen_afar(s);
    s->told_data = data_of("../outside/images");
    start_afar(s, &f);
    expect_and_free(s, BODY(HELLO));
    stage_welcome(s, false);
    expect_end(s, 1, "which is not below the data root");
    free(f.root);
}

static void a_data_set_that_changes_later_is_checked_again(void **state)
{
    stage *s = *state;
    far f = listen_afar(s);
    start_afar(s, &f);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_DONE);
    expect_and_ack(s, BODY(RESULT), t);
    s->told_data = data_of("../outside/images");
    stage_welcome(s, false);
    expect_end(s, 1, "which is not below the data root");
    free(f.root);
}

/* ---- files ---- */

/* The hash would be right, and the file is there: a worker of the same machine would open it. */
static void paths_from_elsewhere_are_not_opened(void **state)
{
    stage *s = *state;
    far f = listen_afar(s);
    char *path = stage_path(s, "secret.pt"), hash[FS_HASH_ROOM];
    stage_write(s, "secret.pt", "somebody else's weights");
    assert_int_equal(fs_hash_file(path, hash), OK);
    memcpy(s->weights_hash, hash, sizeof hash);
    s->weights_path = path;
    start_afar(s, &f);
    stage_greet(s);
    envelope *e = stage_expect(s, BODY(BLOB_ACK)); /* it asks for the contents instead */
    assert_string_equal(e->blob_ack->hash, hash);
    assert_int_equal(e->blob_ack->offset, 0);
    wire_free(&e);
    free(path);
    free(f.root);
}

static void a_checkpoint_from_elsewhere_is_not_opened(void **state)
{
    stage *s = *state;
    far f = listen_afar(s);
    Mendel__Candidate c = MENDEL__CANDIDATE__INIT;
    Mendel__Token name;
    char *path = stage_path(s, "secret.pt"), hash[FS_HASH_ROOM];
    metrics own = {0};
    bytes hyps;
    stage_write(s, "secret.pt", "somebody else's checkpoint");
    assert_int_equal(fs_hash_file(path, hash), OK);
    assert_int_equal(map_pack_metrics(&own, &hyps), OK);
    start_afar(s, &f);
    stage_greet(s);
    envelope *e = stage_expect(s, BODY(WORK_REQUEST));
    token_write((token){1, 1, s->ids.epoch}, &name);
    c.slot = e->work_request->slot;
    c.number = e->work_request->number;
    c.token = &name;
    c.hyps = (ProtobufCBinaryData){hyps.count, hyps.data};
    c.resume_path = path;
    c.resume_hash = hash;
    stage_say(s, BODY(CANDIDATE), &c);
    wire_free(&e);
    e = stage_expect(s, BODY(BLOB_ACK));
    assert_string_equal(e->blob_ack->hash, hash);
    wire_free(&e);
    bytes_free(&hyps);
    free(path);
    free(f.root);
}

static void a_file_larger_than_any_is_not_fetched(void **state)
{
    stage *s = *state;
    Mendel__Blob b = MENDEL__BLOB__INIT;
    far f = listen_afar(s);
    strcpy(s->weights_hash, "0123456789abcdef0123456789abcdef");
    start_afar(s, &f);
    stage_greet(s);
    expect_and_free(s, BODY(BLOB_ACK));
    b.hash = s->weights_hash;
    b.bytes = (int64_t)1 << 40;
    b.data = (ProtobufCBinaryData){5, (uint8_t *)"bytes"};
    stage_say(s, BODY(BLOB), &b);
    expect_end(s, 1, "larger than any that is accepted");
    free(f.root);
}

/* ---- programs ---- */

/* What a trainer is started with is all this machine's. */
static void a_coordinator_has_no_say_in_the_command(void **state)
{
    stage *s = *state;
    far f = listen_afar(s);
    start_afar(s, &f);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_WAIT);
    trainer_pid(s);
    char *record = stage_read(s, "spool/trials/slot-0/started");
    const char *arguments = strstr(record, "omp ");
    assert_string_equal(arguments, "omp 1 --candidate-fd 3 --device cpu --threads 1 resume none");
    free(record);
    stage_write(s, "spool/trials/slot-0/go", "");
    expect_and_ack(s, BODY(RESULT), t);
    finish(s);
    free(f.root);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one case, by name */
    const struct CMUnitTest cases[] = {
        CASE(no_path_leads_out_of_the_root),
        CASE(no_list_leads_out_of_the_root),
        CASE(relative_paths_start_at_the_root),
        CASE(a_welcome_without_a_check_is_checked_all_the_same),
        CASE(a_data_set_that_changes_later_is_checked_again),
        CASE(paths_from_elsewhere_are_not_opened),
        CASE(a_checkpoint_from_elsewhere_is_not_opened),
        CASE(a_file_larger_than_any_is_not_fetched),
        CASE(a_coordinator_has_no_say_in_the_command),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
