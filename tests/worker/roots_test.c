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

/* A candidate that is to go on from a checkpoint. */
static token give_from(stage *s, const char *path, const char *hash)
{
    Mendel__Candidate c = MENDEL__CANDIDATE__INIT;
    Mendel__Token name;
    token t = {1, 1, s->ids.epoch};
    metrics own = {0};
    bytes hyps;
    assert_int_equal(map_pack_metrics(&own, &hyps), OK);
    envelope *e = stage_expect(s, BODY(WORK_REQUEST));
    token_write(t, &name);
    c.slot = e->work_request->slot;
    c.number = e->work_request->number;
    c.token = &name;
    c.hyps = (ProtobufCBinaryData){hyps.count, hyps.data};
    c.resume_path = (char *)path;
    c.resume_hash = (char *)hash;
    stage_say(s, BODY(CANDIDATE), &c);
    wire_free(&e);
    bytes_free(&hyps);
    return t;
}

static void expect_question(stage *s, const char *hash)
{
    envelope *e = stage_expect(s, BODY(BLOB_ACK));
    assert_string_equal(e->blob_ack->hash, hash);
    assert_int_equal(e->blob_ack->offset, 0);
    wire_free(&e);
}

static void expect_resumed(stage *s, token t, bool resumed)
{
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    assert_int_equal(e->result->record->resumed, resumed);
    wire_free(&e);
    stage_ack(s, t);
}

static void send_file(stage *s, const char *contents, const char *hash)
{
    Mendel__Blob b = MENDEL__BLOB__INIT;
    b.hash = (char *)hash;
    b.bytes = (int64_t)strlen(contents);
    b.data = (ProtobufCBinaryData){strlen(contents), (uint8_t *)contents};
    stage_say(s, BODY(BLOB), &b);
}

static void a_checkpoint_from_elsewhere_is_not_opened(void **state)
{
    stage *s = *state;
    far f = listen_afar(s);
    char *path = stage_path(s, "secret.pt"), hash[FS_HASH_ROOM];
    stage_write(s, "secret.pt", "somebody else's checkpoint");
    assert_int_equal(fs_hash_file(path, hash), OK);
    start_afar(s, &f);
    stage_greet(s);
    give_from(s, path, hash);
    expect_question(s, hash);
    free(path);
    free(f.root);
}

static void a_checkpoint_is_fetched_and_goes_with_its_training(void **state)
{
    static const char contents[] = "what another worker has saved";
    stage *s = *state;
    far f = listen_afar(s);
    char hash[FS_HASH_ROOM];
    fs_hash_bytes(contents, strlen(contents), hash);
    start_afar(s, &f);
    stage_greet(s);
    token t = give_from(s, "", hash);
    expect_question(s, hash);
    send_file(s, contents, hash);
    expect_resumed(s, t, true);
    char *record = stage_read(s, "spool/trials/slot-0/started"), *kept = stage_read(s, "spool/fetched/0.pt");
    assert_non_null(strstr(record, "spool/fetched/0.pt"));
    finish(s);
    free(kept); /* there or not, as it comes */
    kept = stage_read(s, "spool/fetched/0.pt");
    assert_null(kept);
    char *cache = stage_path(s, "cache/mendel/weights");
    fs_names names = {0};
    if (fs_is_folder(cache)) assert_int_equal(fs_list(cache, &names), OK);
    assert_int_equal(names.count, 0);
    free(record);
    free(cache);
    free(f.root);
}

/* Two workers may share a file system that their coordinator does not have. */
static void a_checkpoint_in_a_spool_is_found_where_storage_is_shared(void **state)
{
    stage *s = *state;
    far f = listen_afar(s);
    char name[128], *path, hash[FS_HASH_ROOM];
    fs_hash_bytes("saved", 5, hash);
    snprintf(name, sizeof name, "another/spool/checkpoints/%s.pt", hash);
    stage_write(s, name, "saved");
    path = stage_path(s, name);
    start_afar(s, &f);
    stage_greet(s);
    token t = give_from(s, path, hash);
    expect_resumed(s, t, true);
    char *record = stage_read(s, "spool/trials/slot-0/started");
    assert_non_null(strstr(record, "/fetched/")); /* under a name of its own */
    finish(s);
    assert_true(fs_is_file(path)); /* it is not ours to remove */
    free(record);
    free(path);
    free(f.root);
}

/* Of the right name, but not the file. */
static void another_checkpoint_is_not_gone_on_from(void **state)
{
    stage *s = *state;
    far f = listen_afar(s);
    char name[128], *path, hash[FS_HASH_ROOM];
    Mendel__Blob none = MENDEL__BLOB__INIT;
    fs_hash_bytes("saved", 5, hash);
    snprintf(name, sizeof name, "another/spool/checkpoints/%s.pt", hash);
    stage_write(s, name, "saved by somebody else");
    path = stage_path(s, name);
    start_afar(s, &f);
    stage_greet(s);
    token t = give_from(s, path, hash);
    expect_question(s, hash);
    none.hash = hash; /* nor has the coordinator it */
    stage_say(s, BODY(BLOB), &none);
    stage_expect_print(s, "starts anew, since its checkpoint cannot be had");
    expect_resumed(s, t, false);
    finish(s);
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
        CASE(a_checkpoint_is_fetched_and_goes_with_its_training),
        CASE(a_checkpoint_in_a_spool_is_found_where_storage_is_shared),
        CASE(another_checkpoint_is_not_gone_on_from),
        CASE(a_file_larger_than_any_is_not_fetched),
        CASE(a_coordinator_has_no_say_in_the_command),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
