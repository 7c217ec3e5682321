/* test_http.h - a web server of a few fixed answers, in a process of its own, for the tests of downloads. Include after cmocka.h. */
#ifndef DATA_TEST_HTTP_H
#define DATA_TEST_HTTP_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct http_answer {
    const char *path; /* /yolov5s.pt; NULL ends a list */
    int code;
    const char *location; /* of a redirection */
    const void *body;
    size_t count;    /* bytes of the body */
    size_t announce; /* Content-Length; 0: as many as there are */
} http_answer;

typedef struct http_server {
    pid_t pid;
    char url[64]; /* http://127.0.0.1:PORT */
} http_server;

static inline void http_send(int to, const void *bytes, size_t count)
{
    for (const char *at = bytes; count;) {
        ssize_t n = send(to, at, count, MSG_NOSIGNAL);
        if (n <= 0) return;
        at += n;
        count -= (size_t)n;
    }
}

static inline void http_reply(int to, const http_answer *answers)
{
    char request[4096] = "", path[512] = "", head[1024];
    size_t length = 0;
    while (length < sizeof request - 1 && !strstr(request, "\r\n\r\n")) {
        ssize_t n = recv(to, request + length, sizeof request - 1 - length, 0);
        if (n <= 0) return;
        request[length += (size_t)n] = '\0';
    }
    if (sscanf(request, "GET %500s", path) != 1) return;
    while (answers->path && strcmp(answers->path, path)) answers++;
    int code = answers->path ? answers->code : 404;
    size_t announced = answers->announce ? answers->announce : answers->count;
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %zu\r\n%s%s%s\r\n", code,
                     announced, answers->location ? "Location: " : "", answers->location ? answers->location : "",
                     answers->location ? "\r\n" : "");
    http_send(to, head, (size_t)n);
    http_send(to, answers->body, answers->count);
}

/* Serve the list, which ends with a path of NULL, until http_stop. */
static inline void http_start(http_server *s, const http_answer *answers)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", ntohs(at.sin_port));
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0)
        for (;;) {
            int guest = accept(listener, NULL, NULL);
            if (guest < 0) _exit(1);
            http_reply(guest, answers);
            shutdown(guest, SHUT_WR);
            close(guest);
        }
    close(listener);
}

static inline void http_stop(http_server *s)
{
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
}

#endif
