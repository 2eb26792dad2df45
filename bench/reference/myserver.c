/*
 * myserver: the pre-forking server of the original's design, for comparison.
 *
 * One parent forks every child up front; all of them block in accept() on one
 * listening socket. Each child counts its requests in an anonymous shared page
 * of its own, which it alone writes and the parent sums. Parent and children
 * append to one log through stdio. A dead child is not replaced.
 *
 * cc -O2 -Wall -Wextra -o myserver myserver.c
 * ./myserver [PORT [CHILDREN [WORK_MS [BACKLOG [LOGFILE]]]]]
 *
 * fork(2) mmap(2) accept(2) sigtimedwait(2) PR_SET_PDEATHSIG(2const) tcp(7)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINE = 1024, MAX_REPLY = MAX_LINE + 128, REPORT_SECONDS = 2 };

static const char *const users[] = {"arijort", "foobar"};

/* The counter on a child's shared page. */
typedef atomic_ulong counter;

struct input {
    char bytes[MAX_LINE];
    size_t start, end; /* the bytes that were read and not yet returned */
};

static FILE *log_file; /* opened by the parent, inherited by the children */

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "myserver: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/*
 * Parent and children. The buffer is empty between records and larger than any
 * of them, so that fflush() is one write() and O_APPEND keeps records whole.
 */
__attribute__((format(printf, 1, 2))) static void log_record(const char *format, ...)
{
    struct timespec now;
    char date[32];
    va_list arguments;

    clock_gettime(CLOCK_REALTIME, &now);
    strftime(date, sizeof date, "%Y.%m.%d %H:%M:%S", localtime(&now.tv_sec));
    fprintf(log_file, "%s.%09ld -- ", date, now.tv_nsec);
    va_start(arguments, format);
    vfprintf(log_file, format, arguments);
    va_end(arguments);
    fputc('\n', log_file);
    if (fflush(log_file) != 0)
        die("cannot write the log");
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

__attribute__((format(printf, 2, 3))) static bool send_line(int client, const char *format, ...)
{
    char line[MAX_REPLY];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    return send_all(client, line, (size_t)length);
}

/*
 * Returns the next line, its newline replaced by a NUL; valid until the next
 * call. Returns NULL at end of file, when the connection fails, or when the line
 * is too long; then it tells the client.
 */
static char *read_line(int client, struct input *in)
{
    size_t searched = 0;

    for (;;) {
        char *line = in->bytes + in->start;
        char *newline = memchr(line + searched, '\n', in->end - in->start - searched);
        if (newline) {
            *newline = '\0';
            in->start = (size_t)(newline + 1 - in->bytes);
            return line;
        }
        searched = in->end - in->start;
        memmove(in->bytes, line, searched);
        in->start = 0;
        in->end = searched;
        if (in->end == sizeof in->bytes) {
            log_record("protocol error: too-long on %d", getpid());
            send_line(client, "error too-long: a line has at most %d bytes\n", MAX_LINE);
            return NULL;
        }

        ssize_t count = read(client, in->bytes + in->end, sizeof in->bytes - in->end);
        if (count <= 0)
            return NULL;
        in->end += (size_t)count;
    }
}

static bool is_known(const char *user)
{
    for (size_t i = 0; i < sizeof users / sizeof *users; i++)
        if (strcmp(user, users[i]) == 0)
            return true;
    return false;
}

static void work(long milliseconds)
{
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    /* Only a stop and continue interrupts it. */
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

/* Returns false when the connection is to be closed. */
static bool handle_request(int client, char *line, long work_ms, counter *requests)
{
    int pid = getpid();
    char *colon = strchr(line, ':');

    if (!colon) {
        log_record("protocol error: protocol on %d", pid);
        send_line(client, "error protocol: expected <username>:<message>\n");
        return false;
    }
    *colon = '\0';
    const char *user = line;
    char *message = colon + 1;
    size_t length = strlen(message);
    if (length > 0 && message[length - 1] == '\r')
        message[length - 1] = '\0';

    if (!is_known(user)) {
        log_record("authorization error: user \"%s\" on %d", user, pid);
        send_line(client, "error unauthorized: unknown user\n");
        return false;
    }
    log_record("server %d recvd message \"%s\" from user %s", pid, message, user);
    if (work_ms > 0)
        work(work_ms);

    unsigned long handled = atomic_load_explicit(requests, memory_order_relaxed) + 1;
    log_record("completed req \"%s\" on %d total reqs %lu", message, pid, handled);
    atomic_store_explicit(requests, handled, memory_order_relaxed);
    return send_line(client, "server %d recvd message \"%s\" from user %s\n", pid, message, user);
}

static _Noreturn void do_child_work(int listener, long work_ms, counter *requests)
{
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0) {
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            die("accept");
        }
        struct input in = {.start = 0, .end = 0};
        char *line;
        bool open = send_line(client, "this is server thread %d\n", getpid());
        while (open && (line = read_line(client, &in)))
            open = handle_request(client, line, work_ms, requests);
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
 * Runs in the parent and returns there. The parent blocks the signals that it
 * waits for; the child restores the mask. Children die with their parent, also
 * if it dies during this call.
 */
static pid_t start_child(int listener, long work_ms, counter *requests, const sigset_t *signals)
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
    do_child_work(listener, work_ms, requests);
}

static void report_total(counter *const *counters, size_t children)
{
    static unsigned long reported;
    unsigned long total = 0;

    for (size_t i = 0; i < children; i++)
        total += atomic_load_explicit(counters[i], memory_order_relaxed);
    if (total != reported)
        log_record("total requests %lu", total);
    reported = total;
}

static void wait_for_stop(const sigset_t *stop_signals, counter *const *counters, size_t children)
{
    const struct timespec interval = {.tv_sec = REPORT_SECONDS};

    while (sigtimedwait(stop_signals, NULL, &interval) < 0)
        report_total(counters, children);
}

/* No child was reaped before, so each pid is still that of the child. */
static void end_children(const pid_t *pids, size_t children)
{
    for (size_t i = 0; i < children; i++)
        kill(pids[i], SIGTERM);
    for (size_t i = 0; i < children; i++)
        waitpid(pids[i], NULL, 0);
}

static long number(const char *name, const char *text, long least, long most)
{
    char *end;

    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "myserver: %s must be a number from %ld to %ld, not \"%s\"\n", name, least, most, text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc > 6) {
        fprintf(stderr, "usage: %s [PORT [CHILDREN [WORK_MS [BACKLOG [LOGFILE]]]]]\n", argv[0]);
        return 2;
    }
    in_port_t port = (in_port_t)number("PORT", argc > 1 ? argv[1] : "31337", 1, 65535);
    size_t children = (size_t)number("CHILDREN", argc > 2 ? argv[2] : "1000", 1, 1000000);
    long work_ms = number("WORK_MS", argc > 3 ? argv[3] : "3000", 0, INT_MAX);
    int backlog = (int)number("BACKLOG", argc > 4 ? argv[4] : "100", 0, INT_MAX);
    const char *log_path = argc > 5 ? argv[5] : "/tmp/myserver.log";

    sigset_t stop_signals;
    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    sigprocmask(SIG_BLOCK, &stop_signals, NULL);

    log_file = fopen(log_path, "a");
    if (!log_file)
        die(log_path);
    int listener = listen_on_loopback(port, backlog);

    pid_t *pids = calloc(children, sizeof *pids);
    counter **counters = calloc(children, sizeof *counters);
    if (!pids || !counters)
        die("calloc");
    for (size_t i = 0; i < children; i++) {
        counters[i] = mmap(NULL, sizeof *counters[i], PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (counters[i] == MAP_FAILED)
            die("mmap");
        pids[i] = start_child(listener, work_ms, counters[i], &stop_signals);
    }
    printf("Running with %zu children on host:port localhost:%d\n", children, port);
    fflush(stdout);

    wait_for_stop(&stop_signals, counters, children);
    end_children(pids, children);
    report_total(counters, children);
    return EXIT_SUCCESS;
}
