/*
 * hold: connections that are silent, and the least that can hold them, for comparison.
 *
 * hold listen PORT BACKLOG: accepts all clients, greets each, and has it in one
 * epoll. It reads nothing.
 *
 * hold connect PORT COUNT: connects COUNT clients, one after the other. Each
 * reads its greeting, and sends nothing.
 *
 * Both write one line when they are up, and hold all connections until a signal
 * ends them.
 *
 * cc -O2 -Wall -Wextra -o hold hold.c
 *
 * epoll(7) accept(2) tcp(7)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_GREETING = 128, MAX_EVENTS = 64 };

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "hold: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static struct sockaddr_in on_loopback(in_port_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

static _Noreturn void listen_and_hold(in_port_t port, int backlog)
{
    struct sockaddr_in address = on_loopback(port);
    struct epoll_event events[MAX_EVENTS];
    char greeting[MAX_GREETING];
    int length = snprintf(greeting, sizeof greeting, "this is server thread %d\n", getpid());
    int on = 1;
    int epoll = epoll_create1(0);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (epoll < 0 || listener < 0)
        die("socket");
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        die("setsockopt");
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, backlog) != 0)
        die("cannot listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        die("epoll_ctl");
    say("holding");

    for (;;) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd != listener) {
                close(events[i].data.fd); /* a silent client that is readable has gone */
                continue;
            }
            int client = accept(listener, NULL, NULL);
            struct epoll_event in = {.events = EPOLLIN, .data.fd = client};
            if (client < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, client, &in) != 0)
                die("accept");
            if (send(client, greeting, (size_t)length, MSG_NOSIGNAL) != length)
                close(client);
        }
    }
}

static _Noreturn void connect_and_hold(in_port_t port, long count)
{
    struct sockaddr_in address = on_loopback(port);
    char greeting[MAX_GREETING];
    const struct linger reset = {.l_onoff = 1}; /* closing leaves nothing behind in the kernel */

    for (long i = 0; i < count; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        if (client < 0 || setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) != 0)
            die("socket");
        if (connect(client, (struct sockaddr *)&address, sizeof address) != 0)
            die("connect");
        ssize_t length = recv(client, greeting, sizeof greeting, 0);
        if (length <= 0 || greeting[length - 1] != '\n' || strncmp(greeting, "this is server", 14) != 0)
            die("no greeting");
    }
    say("holding");
    for (;;)
        pause();
}

static long number(const char *name, const char *text, long least, long most)
{
    char *end;

    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "hold: %s must be a number from %ld to %ld, not \"%s\"\n", name, least, most, text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 4 || (strcmp(argv[1], "listen") != 0 && strcmp(argv[1], "connect") != 0)) {
        fprintf(stderr, "usage: %s listen PORT BACKLOG | connect PORT COUNT\n", argv[0]);
        return 2;
    }
    in_port_t port = (in_port_t)number("PORT", argv[2], 1, 65535);
    if (strcmp(argv[1], "listen") == 0)
        listen_and_hold(port, (int)number("BACKLOG", argv[3], 0, INT_MAX));
    connect_and_hold(port, number("COUNT", argv[3], 1, 1000000));
}
