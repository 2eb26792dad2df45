/*
 * loop: the least that any server of this service can do, for comparison.
 *
 * The parent forks K processes. Each has a listening socket of its own on the
 * port (SO_REUSEPORT), an epoll of its own, and serves its connections in one
 * loop, in batches of up to 64 events. It writes the same two records for each
 * request, each with one write() on a file opened for append. There is no shared
 * counter, no work and no time-out, and a client that does not read its replies
 * is closed: a server that is as fast has reached the limit of the machine.
 *
 * cc -O2 -Wall -Wextra -o loop loop.c
 * ./loop [PORT [PROCESSES [BACKLOG [LOGFILE]]]]
 *
 * epoll(7) SO_REUSEPORT in socket(7) sigwait(3) PR_SET_PDEATHSIG(2const) tcp(7)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINE = 1024, MAX_RECORD = MAX_LINE + 192, MAX_EVENTS = 64, MAX_PROCESSES = 256 };

static const char *const users[] = {"arijort", "foobar"};

struct connection {
    int socket;
    size_t held; /* bytes of a line that has not ended */
    char bytes[MAX_LINE];
};

/* A text that grows at its end. */
struct text {
    size_t length;
    char bytes[MAX_RECORD];
};

static int log_file; /* opened by the parent, inherited by the processes */

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "loop: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* ---- texts ---- */

static void add(struct text *text, const char *bytes, size_t length)
{
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

static void add_string(struct text *text, const char *string)
{
    add(text, string, strlen(string));
}

static void add_number(struct text *text, unsigned long value, int least_digits)
{
    char digits[24];
    int count = 0;

    while (value > 0 || count < least_digits) {
        digits[sizeof digits - 1 - (size_t)count++] = (char)('0' + value % 10);
        value /= 10;
    }
    add(text, digits + sizeof digits - count, (size_t)count);
}

/* The part that changes once a second is kept. */
static void begin_record(struct text *record)
{
    static time_t kept_second;
    static char kept_text[32];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != kept_second) {
        kept_second = now.tv_sec;
        strftime(kept_text, sizeof kept_text, "%Y.%m.%d %H:%M:%S.", localtime(&now.tv_sec));
    }
    record->length = 0;
    add_string(record, kept_text);
    add_number(record, (unsigned long)now.tv_nsec, 9);
    add_string(record, " -- ");
}

static void end_record(struct text *record)
{
    add_string(record, "\n");
    if (write(log_file, record->bytes, record->length) != (ssize_t)record->length)
        die("cannot write the log");
}

static void log_pid(const char *what, unsigned long pid)
{
    struct text record;

    begin_record(&record);
    add_string(&record, what);
    if (pid > 0)
        add_number(&record, pid, 1);
    end_record(&record);
}

/* ---- process ---- */

static bool send_all(int socket, const char *bytes, size_t length)
{
    return send(socket, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
}

static bool is_known(const char *user, size_t length)
{
    for (size_t i = 0; i < sizeof users / sizeof *users; i++)
        if (strlen(users[i]) == length && memcmp(user, users[i], length) == 0)
            return true;
    return false;
}

/* `server PID recvd message "MESSAGE" from user USER`: the record and the reply. */
static void add_received(struct text *text, unsigned long pid, const char *line, size_t user, size_t length)
{
    add_string(text, "server ");
    add_number(text, pid, 1);
    add_string(text, " recvd message \"");
    add(text, line + user + 1, length - user - 1);
    add_string(text, "\" from user ");
    add(text, line, user);
}

/* Always false: the connection is to be closed. */
static bool refuse(int socket, struct text *record, unsigned long pid, const char *reply)
{
    add_string(record, " on ");
    add_number(record, pid, 1);
    end_record(record);
    send_all(socket, reply, strlen(reply));
    return false;
}

/* Returns false when the connection is to be closed. */
static bool answer(int socket, const char *line, size_t length, unsigned long pid)
{
    static unsigned long handled;
    struct text text;
    const char *colon = memchr(line, ':', length);
    size_t user = colon ? (size_t)(colon - line) : length;

    begin_record(&text);
    if (!colon) {
        add_string(&text, "protocol error: protocol");
        return refuse(socket, &text, pid, "error protocol: expected <username>:<message>\n");
    }
    if (!is_known(line, user)) {
        add_string(&text, "authorization error: user \"");
        add(&text, line, user);
        add_string(&text, "\"");
        return refuse(socket, &text, pid, "error unauthorized: unknown user\n");
    }
    if (line[length - 1] == '\r')
        length--;

    add_received(&text, pid, line, user, length);
    end_record(&text);

    begin_record(&text);
    add_string(&text, "completed req \"");
    add(&text, line + user + 1, length - user - 1);
    add_string(&text, "\" on ");
    add_number(&text, pid, 1);
    add_string(&text, " total reqs ");
    add_number(&text, ++handled, 1);
    end_record(&text);

    text.length = 0;
    add_received(&text, pid, line, user, length);
    add_string(&text, "\n");
    return send_all(socket, text.bytes, text.length);
}

/* Answers the lines that have come. Returns false when the connection is to be closed. */
static bool serve(struct connection *client, unsigned long pid)
{
    ssize_t count = recv(client->socket, client->bytes + client->held, MAX_LINE - client->held, MSG_DONTWAIT);
    if (count <= 0)
        return count < 0 && errno == EAGAIN;
    client->held += (size_t)count;

    char *line = client->bytes, *newline;
    while ((newline = memchr(line, '\n', client->held))) {
        size_t length = (size_t)(newline - line);
        if (!answer(client->socket, line, length, pid))
            return false;
        client->held -= length + 1;
        line = newline + 1;
    }
    memmove(client->bytes, line, client->held);
    return client->held < MAX_LINE;
}

static void close_connection(struct connection *client)
{
    close(client->socket);
    free(client);
}

static void accept_one(int epoll, int listener, unsigned long pid)
{
    struct connection *client;
    struct text greeting = {.length = 0};
    int socket = accept(listener, NULL, NULL);

    if (socket < 0) {
        if (errno == ECONNABORTED || errno == EINTR || errno == EAGAIN)
            return;
        die("accept");
    }
    client = malloc(sizeof *client);
    if (!client)
        die("malloc");
    client->socket = socket;
    client->held = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event) != 0)
        die("epoll_ctl");
    add_string(&greeting, "this is server thread ");
    add_number(&greeting, pid, 1);
    add_string(&greeting, "\n");
    if (!send_all(socket, greeting.bytes, greeting.length))
        close_connection(client);
}

static _Noreturn void run_loop(int listener)
{
    struct epoll_event events[MAX_EVENTS];
    unsigned long pid = (unsigned long)getpid();
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}; /* the listener */

    log_pid("have child pid ", pid);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        die("epoll");
    for (;;) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct connection *client = events[i].data.ptr;
            if (!client)
                accept_one(epoll, listener, pid);
            else if (!serve(client, pid))
                close_connection(client);
        }
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
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (listener < 0)
        die("socket");
    /* Accepted connections inherit TCP_NODELAY. */
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
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
 * are blocked in it. Processes die with their parent.
 */
static pid_t start_process(int listener, const sigset_t *signals)
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
    run_loop(listener);
}

static long number(const char *name, const char *text, long least, long most)
{
    char *end;

    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "loop: %s must be a number from %ld to %ld, not \"%s\"\n", name, least, most, text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    in_port_t port = (in_port_t)number("PORT", argc > 1 ? argv[1] : "31337", 1, 65535);
    size_t processes = (size_t)number("PROCESSES", argc > 2 ? argv[2] : "2", 1, MAX_PROCESSES);
    int backlog = (int)number("BACKLOG", argc > 3 ? argv[3] : "100", 0, INT_MAX);
    const char *log_path = argc > 4 ? argv[4] : "/tmp/myserver.log";
    int listeners[MAX_PROCESSES];
    pid_t pids[MAX_PROCESSES];

    sigset_t stop_signals;
    int signal;
    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    sigprocmask(SIG_BLOCK, &stop_signals, NULL);

    log_file = open(log_path, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (log_file < 0)
        die(log_path);
    log_pid("Server init", 0);
    /* All sockets listen before the first client comes: the kernel shares clients out over them. */
    for (size_t i = 0; i < processes; i++)
        listeners[i] = listen_on_loopback(port, backlog);
    for (size_t i = 0; i < processes; i++)
        pids[i] = start_process(listeners[i], &stop_signals);
    printf("Running with %zu processes on host:port localhost:%d\n", processes, port);
    fflush(stdout);

    sigwait(&stop_signals, &signal);
    /* No process was reaped before, so each pid is still that of the process. */
    for (size_t i = 0; i < processes; i++)
        kill(pids[i], SIGTERM);
    for (size_t i = 0; i < processes; i++)
        waitpid(pids[i], NULL, 0);
    return EXIT_SUCCESS;
}
