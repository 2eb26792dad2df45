# prefork.pl: the same service on Perl's Net::Server::PreFork, for comparison.
#
# The module forks the children, has them accept from one listening socket, and
# makes more or fewer of them by its own rules and intervals. Each child speaks
# the same protocol and writes the same two records for each request, each with
# one syswrite on a file opened for append. No process sums the children's counts, so
# the log has neither `total requests` nor the `Server stop` that would follow it.
#
# perl prefork.pl [PORT [CHILDREN_MAX [WORK_MS [BACKLOG [LOGFILE
#     [START MIN_SPARE MAX_SPARE]]]]]]
# Without the last three, the pool always has CHILDREN_MAX children.
# START is also the least number of children: the module has no option for it.
#
# It needs Net::Server 2 (Debian: apt-get install libnet-server-perl).
use strict;
use warnings;

package Prefork;

use Net::Server::PreFork;
use POSIX qw(EINTR SIGINT SIGTERM SIG_BLOCK SIG_UNBLOCK sigprocmask strftime);
use Socket qw(IPPROTO_TCP SHUT_WR SOL_SOCKET SO_RCVTIMEO TCP_NODELAY);
use Time::HiRes qw(CLOCK_REALTIME clock_gettime sleep);

our @ISA = ('Net::Server::PreFork');

use constant {
    HOST           => '127.0.0.1',
    MAX_LINE       => 1024,
    MAX_USER       => 31,
    LINGER_SECONDS => 2,
    MANY           => 1_000_000_000,
};

my %users = map { $_ => 1 } qw(arijort foobar);
my $realtime     = CLOCK_REALTIME;    # a constant of Time::HiRes is looked up at each use
my $stop_signals = POSIX::SigSet->new(SIGINT, SIGTERM);

if (@ARGV > 8 || @ARGV == 6 || @ARGV == 7) {
    fail('usage: PORT CHILDREN_MAX WORK_MS BACKLOG LOGFILE [START MIN_SPARE MAX_SPARE]');
    exit 2;
}

# Removed from @ARGV, where Net::Server looks for options of its own.
my @arguments = splice @ARGV;
my $port      = number('PORT', $arguments[0] // 31337, 1, 65535);
my $children  = number('CHILDREN_MAX', $arguments[1] // 1000, 1, 1_000_000);
my $work      = number('WORK_MS', $arguments[2] // 3000, 0, 2**31 - 1) / 1000;
my $backlog   = number('BACKLOG', $arguments[3] // 100, 0, 2**31 - 1);
my $log_path  = $arguments[4] // '/tmp/myserver.log';
my $start     = number('START', $arguments[5] // $children, 1, $children);
my $min_spare = number('MIN_SPARE', $arguments[6] // 0, 0, $children);
my $max_spare = number('MAX_SPARE', $arguments[7] // $children - 1, 0, $children);

my $log;
if (!open $log, '>>:raw', $log_path) {
    fail("$log_path: $!");
    exit 1;
}

my ($kept_second, $kept_text) = (0, '');    # see record()

# The requests of this child.
my $pid;    # $$ asks the kernel each time
my $greeting;
my $handled = 0;

Prefork->run(
    host   => HOST,
    port   => $port,
    proto  => 'tcp',
    ipv    => 4,
    listen => $backlog,

    min_servers       => $start,
    max_servers       => $children,
    min_spare_servers => $min_spare,
    max_spare_servers => $max_spare,
    max_requests      => MANY,      # connections, after which a child would leave

    serialize        => 'none',     # Linux wakes one child a connection; a lock would wake all
    no_client_stdout => 1,          # no copies of the socket as STDIN and STDOUT
    log_level        => 0,          # the module's own messages; see fatal_hook()
);

# ---- parent ----

sub post_bind_hook {
    my ($self) = @_;
    # Accepted connections inherit it.
    setsockopt $self->{server}{sock}[0], IPPROTO_TCP, TCP_NODELAY, 1
        or $self->fatal("setsockopt: $!");
    record('Server init');
}

# Until a child has set its own signal handlers it has the parent's, and would lose the
# signal that is to end it.
sub pre_fork_hook {
    sigprocmask(SIG_BLOCK, $stop_signals);
}

sub register_child {
    sigprocmask(SIG_UNBLOCK, $stop_signals);
}

# Net::Server has forked the first children.
sub run_parent {
    my ($self) = @_;
    STDOUT->autoflush(1);
    print "Running with $start children on host:port ${\HOST}:$port\n";
    $self->SUPER::run_parent;
}

# Net::Server sends SIGTERM to the children and does not wait for them.
sub post_child_cleanup_hook {
    1 while waitpid(-1, 0) > 0;
}

sub fatal_hook {
    my ($self, $error) = @_;
    fail($error);
}

# ---- child ----

# Recorded here and not in the parent, so that it comes before the child's first request.
sub child_init_hook {
    sigprocmask(SIG_UNBLOCK, $stop_signals);
    $pid      = $$;
    $greeting = "this is server thread $pid\n";
    record("have child pid $pid");
}

# The parent learns of it by itself. An exit() would first free all that Perl has allocated,
# and so copy much of the parent's memory.
sub child_finish_hook {
    POSIX::_exit(0);
}

# Addresses are neither logged nor checked: saves seven system calls a connection.
sub get_client_info { }

# A signal may order the child to exit after this client: it interrupts no request.
sub process_request {
    my ($self, $client) = @_;
    my $pending = '';

    send_all($client, $greeting) or return;
    while (1) {
        my $count = sysread $client, $pending, MAX_LINE, length $pending;
        if (!defined $count) {
            next if $! == EINTR;
            return;
        }
        while ((my $newline = index $pending, "\n") >= 0) {
            return refuse_long_line($client) if $newline >= MAX_LINE;
            answer($client, substr $pending, 0, $newline + 1, '') or return;
        }
        return refuse_long_line($client) if length $pending >= MAX_LINE;
        if ($count == 0) {
            answer($client, $pending) if $pending ne '';
            return;
        }
    }
}

# Returns false when the connection is to be closed. Only the last line may lack a newline.
sub answer {
    my ($client, $line) = @_;

    $line =~ s/\r\z// if chomp $line;
    my ($user, $message) = split /:/, $line, 2;
    if (!defined $message || $user eq '' || length $user > MAX_USER) {
        record("protocol error: protocol on $pid");
        return refuse($client, 'protocol', 'expected <username>:<message>');
    }
    if (!$users{$user}) {
        record("authorization error: user \"$user\" on $pid");
        return refuse($client, 'unauthorized', 'unknown user');
    }
    my $reply = "server $pid recvd message \"$message\" from user $user";
    record($reply);
    for (my $left = $work; $left > 0;) {
        $left -= sleep $left;
    }
    record("completed req \"$message\" on $pid total reqs " . ($handled + 1));
    $handled++;
    return send_all($client, "$reply\n");
}

sub refuse_long_line {
    my ($client) = @_;
    record("protocol error: too-long on $pid");
    return refuse($client, 'too-long', "a line has at most ${\MAX_LINE} bytes");
}

# Reads what the client still sends, or closing would reset the connection and the
# client might never see why.
sub refuse {
    my ($client, $code, $text) = @_;
    if (send_all($client, "error $code: $text\n")) {
        shutdown $client, SHUT_WR;
        setsockopt $client, SOL_SOCKET, SO_RCVTIMEO, pack 'l!l!', LINGER_SECONDS, 0;
        1 while sysread $client, my $rest, MAX_LINE;
    }
    return 0;
}

sub send_all {
    my ($client, $text) = @_;
    for (my $sent = 0; $sent < length $text;) {
        my $count = syswrite $client, $text, length($text) - $sent, $sent;
        if (defined $count) {
            $sent += $count;
        } elsif ($! != EINTR) {
            return 0;
        }
    }
    return 1;
}

# ---- both ----

# Local time with nanosecond digits, of which the clock's number has a quarter of a
# microsecond; the part that changes once a second is kept.
sub record {
    my $now    = clock_gettime($realtime);
    my $second = int $now;
    if ($second != $kept_second) {
        $kept_second = $second;
        $kept_text   = strftime('%Y.%m.%d %H:%M:%S', localtime $second);
    }
    my $line = sprintf "%s.%09d -- %s\n", $kept_text, ($now - $second) * 1e9, $_[0];
    my $written = syswrite $log, $line;
    die "cannot write the log: $!\n" if !defined $written || $written != length $line;
}

sub number {
    my ($name, $text, $least, $most) = @_;
    if ($text !~ /\A\d+\z/ || $text < $least || $text > $most) {
        fail("$name must be a number from $least to $most, not \"$text\"");
        exit 2;
    }
    return $text;
}

sub fail {
    my ($text) = @_;
    print STDERR "prefork.pl: $text\n";
}
