// server.go: the same service in Go, for comparison: a goroutine for each connection, which is what
// the language's net package is made for. The runtime waits for all connections in one epoll, and runs
// goroutines on a thread for each processor.
//
// It speaks the same protocol as the others and writes the same two records for each request, each
// with one write on a file opened for append. The counter is one of the process.
//
// go build server.go
// ./server [PORT [PROCESSES [WORK_MS [BACKLOG [LOGFILE]]]]], PROCESSES having no meaning
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxLine       = 1024
	maxUser       = 31
	lingerTimeout = 2 * time.Second
	reportEvery   = 2 * time.Second
)

var (
	users   = map[string]bool{"arijort": true, "foobar": true}
	pid     = strconv.Itoa(os.Getpid())
	logFile int // a descriptor
	work    time.Duration
	handled uint64 // requests, of all goroutines
)

// ---- the log ----

// second is the part of a record's time that changes once a second.
type second struct {
	unix int64
	text string
}

var keptSecond atomic.Pointer[second]

// appendTime appends the time of a record.
func appendTime(to []byte) []byte {
	now := time.Now()
	kept := keptSecond.Load()
	if kept == nil || kept.unix != now.Unix() {
		kept = &second{now.Unix(), now.Format("2006.01.02 15:04:05.")}
		keptSecond.Store(kept)
	}
	to = append(to, kept.text...)
	var digits [9]byte
	for i, left := 8, now.Nanosecond(); i >= 0; i, left = i-1, left/10 {
		digits[i] = byte('0' + left%10)
	}
	to = append(to, digits[:]...)
	return append(to, " -- "...)
}

// writeRecord writes a whole line. A Write of os.File would be one goroutine's at a time.
func writeRecord(line []byte) {
	if count, err := syscall.Write(logFile, line); err != nil || count != len(line) {
		fail(fmt.Sprintf("cannot write the log: %v", err))
		os.Exit(1)
	}
}

func record(format string, args ...any) {
	line := fmt.Appendf(appendTime(nil), format, args...)
	writeRecord(append(line, '\n'))
}

// ---- a connection ----

type connection struct {
	net.Conn
	line  [maxLine]byte // what has come and is not answered
	text  []byte        // a record or a reply, reused
	reply []byte
}

func (c *connection) serve() {
	defer c.Close()
	if _, err := c.Write([]byte("this is server thread " + pid + "\n")); err != nil {
		return
	}
	held := 0
	for {
		count, err := c.Read(c.line[held:])
		held += count
		start := 0
		for {
			length := bytes.IndexByte(c.line[start:held], '\n')
			if length < 0 {
				break
			}
			if !c.answer(bytes.TrimSuffix(c.line[start:start+length], []byte("\r"))) {
				return
			}
			start += length + 1
		}
		held = copy(c.line[:], c.line[start:held])
		if held == maxLine {
			record("protocol error: too-long on %s", pid)
			c.refuse("too-long: a line has at most " + strconv.Itoa(maxLine) + " bytes")
			return
		}
		if err != nil {
			// The last line may have no newline.
			if err == io.EOF && held > 0 {
				c.answer(c.line[:held])
			}
			return
		}
	}
}

// answer returns false when the connection is to be closed.
func (c *connection) answer(line []byte) bool {
	user, message, found := bytes.Cut(line, []byte(":"))
	if !found || len(user) == 0 || len(user) > maxUser {
		record("protocol error: protocol on %s", pid)
		return c.refuse("protocol: expected <username>:<message>")
	}
	if !users[string(user)] {
		record("authorization error: user \"%s\" on %s", user, pid)
		return c.refuse("unauthorized: unknown user")
	}
	c.reply = append(c.reply[:0], "server "...)
	c.reply = append(c.reply, pid...)
	c.reply = append(c.reply, " recvd message \""...)
	c.reply = append(c.reply, message...)
	c.reply = append(c.reply, "\" from user "...)
	c.reply = append(c.reply, user...)
	c.reply = append(c.reply, '\n')
	c.text = append(appendTime(c.text[:0]), c.reply...)
	writeRecord(c.text)

	if work > 0 {
		time.Sleep(work)
	}

	c.text = append(appendTime(c.text[:0]), "completed req \""...)
	c.text = append(c.text, message...)
	c.text = append(c.text, "\" on "...)
	c.text = append(c.text, pid...)
	c.text = append(c.text, " total reqs "...)
	c.text = strconv.AppendUint(c.text, atomic.AddUint64(&handled, 1), 10)
	writeRecord(append(c.text, '\n'))

	_, err := c.Write(c.reply)
	return err == nil
}

// refuse reads what the client still sends, or closing would reset the connection and the client
// might never see why. Always false.
func (c *connection) refuse(reason string) bool {
	if _, err := c.Write([]byte("error " + reason + "\n")); err == nil {
		c.Conn.(*net.TCPConn).CloseWrite()
		c.SetReadDeadline(time.Now().Add(lingerTimeout))
		io.Copy(io.Discard, c.Conn)
	}
	return false
}

// ---- the process ----

// listen: the net package has no option for the backlog, and takes the system's most.
// The backlog of a listening socket can be changed by another listen(2).
func listen(port, backlog int) (net.Listener, error) {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", address)
	if err != nil {
		return nil, err
	}
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), backlog) }); err != nil {
		return nil, err
	}
	return listener, failed
}

func acceptAll(listener net.Listener) {
	for {
		socket, err := listener.Accept() // TCP_NODELAY is set
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			fail(err.Error())
			os.Exit(1)
		}
		go (&connection{Conn: socket}).serve()
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, "server.go: "+text)
}

func number(name string, position int, missing, least, most int) int {
	if len(os.Args) <= position {
		return missing
	}
	value, err := strconv.Atoi(os.Args[position])
	if err != nil || value < least || value > most {
		fail(fmt.Sprintf("%s must be a number from %d to %d, not \"%s\"", name, least, most, os.Args[position]))
		os.Exit(2)
	}
	return value
}

func main() {
	port := number("PORT", 1, 31337, 1, 65535)
	number("PROCESSES", 2, 1, 0, 1_000_000)
	work = time.Duration(number("WORK_MS", 3, 3000, 0, 1<<31-1)) * time.Millisecond
	backlog := number("BACKLOG", 4, 100, 0, 1<<31-1)
	path := "/tmp/myserver.log"
	if len(os.Args) > 5 {
		path = os.Args[5]
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)

	var err error
	if logFile, err = syscall.Open(path, syscall.O_WRONLY|syscall.O_APPEND|syscall.O_CREAT|syscall.O_CLOEXEC, 0o644); err != nil {
		fail(path + ": " + err.Error())
		os.Exit(1)
	}
	record("Server init")
	listener, err := listen(port, backlog)
	if err != nil {
		fail(err.Error())
		os.Exit(1)
	}
	record("have child pid %s", pid)
	go acceptAll(listener)
	fmt.Printf("Running with 1 process on host:port localhost:%d\n", port)

	reported := uint64(0)
	reportTotal := func() {
		if total := atomic.LoadUint64(&handled); total != reported {
			record("total requests %d", total)
			reported = total
		}
	}
	for ticks := time.Tick(reportEvery); ; {
		select {
		case <-ticks:
			reportTotal()
		case <-stop:
			listener.Close()
			reportTotal()
			return
		}
	}
}
