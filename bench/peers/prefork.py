"""prefork.py: the same service as a pre-forking Python server, for comparison.

The parent forks every child up front; all of them block in accept() on one
listening socket. Each child speaks the same protocol and writes the same two
records for each request, each with one os.write() on a file opened for append.
A dead child is not replaced, and no process sums the children's counts, so the
log has no `total requests`.

python3 prefork.py [PORT [CHILDREN [WORK_MS [BACKLOG [LOGFILE]]]]]
"""

import gc
import os
import signal
import socket
import sys
import time

HOST = "127.0.0.1"
MAX_LINE = 1024
MAX_USER = 31
LINGER_SECONDS = 2.0
USERS = {b"arijort", b"foobar"}
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class Log:
    def __init__(self, path):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self.file = os.open(path, flags, 0o644)
        self.second = None  # what `text` stands for
        self.text = b""

    def record(self, text):
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        # The part that changes once a second is kept.
        if second != self.second:
            self.second = second
            date = time.strftime("%Y.%m.%d %H:%M:%S", time.localtime(second))
            self.text = date.encode()
        line = b"%b.%09d -- %b\n" % (self.text, nanoseconds, text)
        if os.write(self.file, line) != len(line):
            raise OSError("cannot write the whole record to the log")


# ---- child ----


class Child:
    def __init__(self, listener, log, work):
        self.listener = listener
        self.log = log
        self.work = work  # seconds
        self.handled = 0
        self.pid = os.getpid()
        log.record(b"have child pid %d" % self.pid)

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except ConnectionAbortedError:
                continue
            with client:
                try:
                    self.serve(client)
                except (ConnectionError, TimeoutError):
                    pass  # a client that goes away is no error of the server's

    def serve(self, client):
        client.sendall(b"this is server thread %d\n" % self.pid)
        pending = b""
        while True:
            received = client.recv(2 * MAX_LINE)
            pending += received
            *lines, pending = pending.split(b"\n")
            for line in lines:
                if len(line) >= MAX_LINE:
                    return self.refuse_long_line(client)
                if not self.answer(client, line.removesuffix(b"\r")):
                    return
            if len(pending) >= MAX_LINE:
                return self.refuse_long_line(client)
            if not received:
                # The last line may have no newline.
                if pending:
                    self.answer(client, pending)
                return

    def answer(self, client, line):
        """False when the connection is to be closed."""
        user, colon, message = line.partition(b":")
        if not colon or not 0 < len(user) <= MAX_USER:
            self.log.record(b"protocol error: protocol on %d" % self.pid)
            return self.refuse(client, b"protocol: expected <username>:<message>")
        if user not in USERS:
            self.log.record(b'authorization error: user "%b" on %d' % (user, self.pid))
            return self.refuse(client, b"unauthorized: unknown user")
        reply = b'server %d recvd message "%b" from user %b' % (self.pid, message, user)
        self.log.record(reply)
        if self.work > 0:
            time.sleep(self.work)
        count = self.handled + 1
        self.log.record(b'completed req "%b" on %d total reqs %d' % (message, self.pid, count))
        self.handled = count
        client.sendall(reply + b"\n")
        return True

    def refuse_long_line(self, client):
        self.log.record(b"protocol error: too-long on %d" % self.pid)
        self.refuse(client, b"too-long: a line has at most %d bytes" % MAX_LINE)

    def refuse(self, client, reason):
        """What the client still sends is read, or closing would reset the connection and the
        client might never see why. Always False."""
        client.sendall(b"error %b\n" % reason)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(LINGER_SECONDS)
        while client.recv(MAX_LINE):
            pass
        return False


# Never returns. A caught signal, unlike one that kills, tears no record.
def run_child(listener, log, work):
    for stop in STOP_SIGNALS:
        signal.signal(stop, lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    try:
        Child(listener, log, work).run()
    except OSError as error:
        fail(error)
    finally:
        os._exit(1)


# ---- parent ----


def listen(port, backlog):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((HOST, port))
    listener.listen(backlog)
    return listener


# Stop signals are blocked in the parent, where sigwait() takes them.
def serve(port, children, work, backlog, log_path):
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    log = Log(log_path)
    listener = listen(port, backlog)
    log.record(b"Server init")
    gc.freeze()  # the children's collector leaves alone, and so shares, what is there by now
    pids = []
    for _ in range(children):
        pid = os.fork()
        if pid == 0:
            run_child(listener, log, work)
        pids.append(pid)
    print(f"Running with {children} children on host:port {HOST}:{port}", flush=True)

    signal.sigwait(STOP_SIGNALS)
    end(pids)


# Nothing was reaped before, so each pid is still that child's.
def end(pids):
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    for pid in pids:
        os.waitpid(pid, 0)


def number(name, text, least, most):
    if not text.isdecimal() or not least <= int(text) <= most:
        fail(f'{name} must be a number from {least} to {most}, not "{text}"')
        sys.exit(2)
    return int(text)


def fail(text):
    print(f"prefork.py: {text}", file=sys.stderr, flush=True)


def main():
    defaults = ["31337", "1000", "3000", "100", "/tmp/myserver.log"]
    given = sys.argv[1:]
    port, children, work_ms, backlog, log_path = given + defaults[len(given) :]
    try:
        serve(
            number("PORT", port, 1, 65535),
            number("CHILDREN", children, 1, 1_000_000),
            number("WORK_MS", work_ms, 0, 2**31 - 1) / 1000,
            number("BACKLOG", backlog, 0, 2**31 - 1),
            log_path,
        )
    except OSError as error:
        fail(error)
        sys.exit(1)


main()
