/*
 * cclient: the threaded client of the original's design, for comparison.
 *
 * One thread is one client: connect, read the greeting, then send a request and
 * wait for one line of reply, REQUESTS times; close. Replies are not verified.
 * What the threads share is static and guarded by one mutex. The time runs from
 * the first connect() to the last reply read.
 *
 * A client that is sent nothing for READ_SECONDS has failed. That does happen:
 * with SYN cookies and a full accept queue the kernel drops the last ACK of the
 * handshake and forgets the connection, which the client takes for established;
 * where the server speaks first, it would wait for ever (listen(2), tcp(7)).
 *
 * cc -O2 -Wall -Wextra -pthread -o cclient cclient.c
 * ./cclient HOST PORT THREADS MESSAGE [REQUESTS]
 *
 * pthread_create(3) pthread_attr_setstacksize(3) connect(2) clock_gettime(2)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { STACK_SIZE = 64 * 1024, MAX_LINE = 1024, MAX_REPLY = MAX_LINE + 128, READ_SECONDS = 60 };

/* Written before the first thread starts, then only read. */
static struct sockaddr_in server;
static const char *message;
static long requests_per_client;

/* What the threads write. Times are monotonic, in nanoseconds. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long handled;
static int64_t first_connect = INT64_MAX;
static int64_t last_reply;
static long failed_clients;
static const char *first_failure; /* what failed in the first of them, */
static int first_errno;           /* and why; 0: end of file */

static _Noreturn void die(const char *what, int error)
{
    fprintf(stderr, "cclient: %s: %s\n", what, strerror(error));
    exit(EXIT_FAILURE);
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static bool send_all(int connection, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(connection, text, length, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        text += sent;
        length -= (size_t)sent;
    }
    return true;
}

/*
 * Reads to the end of one line. The server sends nothing after it until the
 * next request, so no byte is lost. On failure returns false with errno: 0 at
 * end of file, ETIMEDOUT when nothing came.
 */
static bool read_line(int connection)
{
    char reply[MAX_REPLY];

    for (;;) {
        ssize_t count = read(connection, reply, sizeof reply);
        if (count <= 0) {
            if (count == 0)
                errno = 0;
            else if (errno == EAGAIN)
                errno = ETIMEDOUT;
            return false;
        }
        if (reply[count - 1] == '\n')
            return true;
    }
}

/* Returns NULL, or what failed, with errno. Counts *replies and sets *replied_at at each reply. */
static const char *converse(int connection, long client, long *replies, int64_t *replied_at)
{
    const struct timeval patience = {.tv_sec = READ_SECONDS};
    char line[MAX_LINE + 1];

    if (setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        return "setsockopt";
    if (connect(connection, (const struct sockaddr *)&server, sizeof server) != 0)
        return "connect";
    if (!read_line(connection))
        return "reading the greeting";
    for (long i = 1; i <= requests_per_client; i++) {
        long number = (client - 1) * requests_per_client + i;
        int length = snprintf(line, sizeof line, "%s %ld\n", message, number);
        if (!send_all(connection, line, (size_t)length))
            return "sending a request";
        if (!read_line(connection))
            return "reading a reply";
        *replied_at = now();
        ++*replies;
    }
    return NULL;
}

/* Runs one client; the argument is its number, from 1. */
static void *run_client(void *argument)
{
    long replies = 0;
    int64_t replied_at = 0;
    int64_t connected_at = now();
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    const char *failure =
        connection < 0 ? "socket" : converse(connection, (long)(intptr_t)argument, &replies, &replied_at);
    int error = errno;

    if (connection >= 0)
        close(connection);

    pthread_mutex_lock(&mutex);
    handled += replies;
    if (connected_at < first_connect)
        first_connect = connected_at;
    if (replied_at > last_reply)
        last_reply = replied_at;
    if (failure && failed_clients++ == 0) {
        first_failure = failure;
        first_errno = error;
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* Every client holds a descriptor: raises the limit to the hard one. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("getrlimit", errno);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("setrlimit", errno);
}

static void run_clients(long count)
{
    pthread_t *threads = calloc((size_t)count, sizeof *threads);
    pthread_attr_t attributes;
    int error;

    if (!threads)
        die("calloc", errno);
    pthread_attr_init(&attributes);
    if ((error = pthread_attr_setstacksize(&attributes, STACK_SIZE)) != 0)
        die("pthread_attr_setstacksize", error);
    for (long i = 0; i < count; i++)
        if ((error = pthread_create(&threads[i], &attributes, run_client, (void *)(intptr_t)(i + 1))) != 0)
            die("pthread_create", error);
    for (long i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_attr_destroy(&attributes);
    free(threads);
}

static long number(const char *name, const char *text, long least, long most)
{
    char *end;

    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "cclient: %s must be a number from %ld to %ld, not \"%s\"\n", name, least, most, text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: %s HOST PORT THREADS MESSAGE [REQUESTS]\n", argv[0]);
        return 2;
    }
    const char *host = argv[1];
    in_port_t port = (in_port_t)number("PORT", argv[2], 1, 65535);
    long threads = number("THREADS", argv[3], 1, 1000000);
    message = argv[4];
    requests_per_client = number("REQUESTS", argc > 5 ? argv[5] : "1", 1, INT_MAX);

    server.sin_family = AF_INET;
    server.sin_port = htons(port);
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &server.sin_addr) != 1) {
        fprintf(stderr, "cclient: HOST must be localhost or a numeric IPv4 address, not \"%s\"\n", host);
        return 2;
    }
    if (snprintf(NULL, 0, "%s %ld\n", message, threads * requests_per_client) > MAX_LINE) {
        fprintf(stderr, "cclient: MESSAGE is too long: a request has at most %d bytes\n", MAX_LINE);
        return 2;
    }
    raise_descriptor_limit();

    printf("connecting to host:port %s:%d with %ld threads\n", host, port, threads);
    fflush(stdout);
    run_clients(threads);

    printf("handled %ld requests\n", handled);
    if (handled > 0)
        printf("%ld requests in %.3f milliseconds\n", handled, (double)(last_reply - first_connect) / 1e6);
    if (failed_clients > 0) {
        fprintf(stderr, "cclient: %ld clients failed, the first one %s: %s\n", failed_clients, first_failure,
                first_errno ? strerror(first_errno) : "the server closed the connection");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
