/*
 * bare: the least that a process for each connection can do, for comparison.
 *
 * The parent forks every child up front; all of them block in accept() on one
 * listening socket. A child greets, reads lines, checks the user and replies,
 * with one read() and one send() a request. There is no log, no counter and
 * no time-out, and only a signal that kills stops it: a server that is as fast has
 * reached the limit of the machine. It is linked statically, so that fork() has
 * the least to copy.
 *
 * cc -O2 -static -Wall -Wextra -o bare bare.c
 * ./bare [PORT [CHILDREN [BACKLOG]]]
 *
 * fork(2) accept(2) sigwait(3) PR_SET_PDEATHSIG(2const) tcp(7)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_LINE = 1024, MAX_REPLY = MAX_LINE + 128 };

static const char *const users[] = {"arijort", "foobar"};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* ---- child ---- */

static bool send_all(int client, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(client, text, length, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        text += sent;
        length -= (size_t)sent;
    }
    return true;
}

static char *put(char *end, const char *text, size_t length)
{
    memcpy(end, text, length);
    return end + length;
}

static bool is_known(const char *user, size_t length)
{
    for (size_t i = 0; i < sizeof users / sizeof *users; i++)
        if (strlen(users[i]) == length && memcmp(user, users[i], length) == 0)
            return true;
    return false;
}

/* Returns false when the connection is to be closed. Every reply begins with `opening`. */
static bool answer(int client, const char *line, size_t length, const char *opening)
{
    static const char closing[] = "\" from user ", refusal[] = "error unauthorized: unknown user\n";
    char reply[MAX_REPLY], *end;
    const char *colon = memchr(line, ':', length);
    size_t user = colon ? (size_t)(colon - line) : length;

    if (!colon || !is_known(line, user)) {
        send_all(client, refusal, sizeof refusal - 1);
        return false;
    }
    if (line[length - 1] == '\r')
        length--;
    end = put(reply, opening, strlen(opening));
    end = put(end, colon + 1, length - user - 1);
    end = put(end, closing, sizeof closing - 1);
    end = put(end, line, user);
    *end++ = '\n';
    return send_all(client, reply, (size_t)(end - reply));
}

/* Serves one connection to its end, or to a line that breaks the protocol. */
static void serve(int client, const char *opening)
{
    char bytes[2 * MAX_LINE];
    size_t held = 0;

    for (;;) {
        ssize_t count = read(client, bytes + held, sizeof bytes - held);
        if (count <= 0)
            return;
        held += (size_t)count;
        char *line = bytes, *newline;
        while ((newline = memchr(line, '\n', held))) {
            size_t length = (size_t)(newline - line);
            if (length >= MAX_LINE || !answer(client, line, length, opening))
                return;
            held -= length + 1;
            line = newline + 1;
        }
        if (held >= MAX_LINE)
            return;
        memmove(bytes, line, held);
    }
}

static _Noreturn void do_child_work(int listener)
{
    char greeting[64], opening[64];
    int greeting_length = snprintf(greeting, sizeof greeting, "this is server thread %d\n", getpid());
    snprintf(opening, sizeof opening, "server %d recvd message \"", getpid());

    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0) {
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            die("accept");
        }
        if (send_all(client, greeting, (size_t)greeting_length))
            serve(client, opening);
        close(client);
    }
}

/* ---- parent ---- */

static int listen_on_loopback(in_port_t port, int backlog)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (listener < 0)
        die("socket");
    /* Accepted connections inherit TCP_NODELAY. */
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        die("setsockopt");
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0)
        die("cannot bind the port");
    if (listen(listener, backlog) != 0)
        die("listen");
    return listener;
}

/*
 * Runs in the parent and returns there. The parent waits for `signals`, which
 * are blocked in it. Children die with their parent.
 */
static pid_t start_child(int listener, const sigset_t *signals)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (pid > 0)
        return pid;

    sigprocmask(SIG_UNBLOCK, signals, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
        die("prctl");
    if (getppid() != parent)
        exit(EXIT_FAILURE); /* the parent died before prctl() */
    do_child_work(listener);
}

static long number(const char *name, const char *text, long least, long most)
{
    char *end;

    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "bare: %s must be a number from %ld to %ld, not \"%s\"\n", name, least, most, text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    in_port_t port = (in_port_t)number("PORT", argc > 1 ? argv[1] : "31337", 1, 65535);
    size_t children = (size_t)number("CHILDREN", argc > 2 ? argv[2] : "1000", 1, 1000000);
    int backlog = (int)number("BACKLOG", argc > 3 ? argv[3] : "100", 0, INT_MAX);

    sigset_t stop_signals;
    int signal;
    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    sigprocmask(SIG_BLOCK, &stop_signals, NULL);

    int listener = listen_on_loopback(port, backlog);
    pid_t *pids = calloc(children, sizeof *pids);
    if (!pids)
        die("calloc");
    for (size_t i = 0; i < children; i++)
        pids[i] = start_child(listener, &stop_signals);
    printf("Running with %zu children on host:port localhost:%d\n", children, port);
    fflush(stdout);

    sigwait(&stop_signals, &signal);
    /* No child was reaped before, so each pid is still that of the child. */
    for (size_t i = 0; i < children; i++)
        kill(pids[i], SIGTERM);
    for (size_t i = 0; i < children; i++)
        waitpid(pids[i], NULL, 0);
    return EXIT_SUCCESS;
}
