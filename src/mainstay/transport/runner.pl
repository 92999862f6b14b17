# Runs commands that arrive on standard input, as the user it was started as, and frames what comes of each. It comes
# over SSH with every connection and nothing of it stays: Perl is what each Debian has (perl-base is essential).
#
#   in:   KIND ID LIMIT GROUP BYTES BYTES "\n" command, standard input
#         KIND q: a question; up to MOST run side by side. One that is slow does not count: it holds nobody up.
#                 Where MOST is 1, each begins when the one before it has ended, however long that takes.
#         KIND c: a change; ends the questions in hand, runs alone, and what comes behind it waits.
#         KIND d: a change with a deadline, which is its LIMIT: what takes longer is told to end, and waited for.
#         KIND f: forget: ends the questions in hand.
#         LIMIT: seconds, 0 for none. GROUP: changes of a group that has had a failure are not run; 0 for none.
#   out:  o|e ID BYTES "\n" standard output or error;  x ID END "\n", END: exit code (128 + signal), or one of
#         t (took longer than its limit), s (not run: its group had failed), k (ended by a change or by forget),
#         l (answered more bytes than the longest may have);  b 0 0 "\n" a request could not be read, the last that is said
#
# A question over its limit is killed. A change (c) is not waited for any longer and goes on by itself, as it does when
# the connection breaks: what has begun to change a host is finished or undone, whoever listens. What it prints is read
# and dropped, as a closed pipe would kill it; the runner ends with it. With half of its input it is killed in both cases.
# A question that says too much is killed; of a change, the rest is read and dropped.
use strict;
use warnings;
use POSIX ();

# FULL: the most that a pipe may hold. HEAD: more than the first line of a request has.
# UNDO_S: what a change has to put itself right that is told to end.
use constant { CHUNK => 65536, SLOW_S => 2, GRACE_S => 2, UNDO_S => 10, FULL => 1 << 20, HEAD => 256 };
my ($length, $nonce, $most, $longest) = @ARGV;
my $tick = POSIX::sysconf(POSIX::_SC_CLK_TCK());
sub now { (POSIX::times())[0] / $tick }    # no step of the clock moves it
my ($in, $skip, $gone, @queue, %running, $change, %failed) = ("", 0, 0);
# By process: what was told to end, and changes that nobody waits for. By number: pipes that are read for nobody.
my (%ending, %abandoned, %drained);

pipe(my $woken, my $wake) or die "pipe: $!";
$_->blocking(0) for $woken, $wake;
$SIG{CHLD} = sub { syswrite $wake, "." };
$SIG{PIPE} = "IGNORE";
$0 = "mainstay commands";

sub say_all {
    my $text = join "", @_;
    while (length $text && !$gone) {
        my $n = syswrite STDOUT, $text;
        if (defined $n) { substr $text, 0, $n, ""; next }
        $gone = 1 unless $!{EINTR} || $!{EAGAIN};
    }
}

sub begin {
    my $job = shift;
    pipe(my $from, my $to) or die "pipe: $!";
    $job->{feed} = $to;
    for my $kind ("o", "e") { pipe($job->{$kind}, $job->{"to_$kind"}) or die "pipe: $!" }
    defined(my $pid = fork) or die "fork: $!";
    if (!$pid) {
        setpgrp 0, 0;
        @SIG{"PIPE", "CHLD"} = ("DEFAULT", "DEFAULT");
        POSIX::dup2(fileno $from, 0);
        POSIX::dup2(fileno $job->{to_o}, 1);
        POSIX::dup2(fileno $job->{to_e}, 2);
        exec "/bin/sh", "-c", $job->{command} or POSIX::_exit(127);
    }
    setpgrp $pid, 0;    # on both sides, as what ends a group may come before the child has made itself one
    delete @$job{"to_o", "to_e"};
    close $from;
    $_->blocking(0) for $job->{o}, $job->{e}, $job->{feed};
    @$job{"pid", "began", "held", "said"} = ($pid, now(), "", 0);
    $running{$pid} = $job;
    feed($job) unless $job->{left};
}

# Gives the job what has come of its standard input.
sub feed {
    my $job = shift;
    if ($job->{feed} && length $job->{held}) {
        my $n = syswrite $job->{feed}, $job->{held};
        if (defined $n) { substr $job->{held}, 0, $n, "" }
        elsif (!$!{EAGAIN} && !$!{EINTR}) { close delete $job->{feed} }
    }
    $job->{held} = "" unless $job->{feed};
    close delete $job->{feed} if $job->{feed} && !$job->{left} && !length $job->{held};
}

# Passes on what the job has printed; how many bytes.
sub relay {
    my ($job, $kind) = @_;
    return 0 unless $job->{$kind};
    my $n = sysread $job->{$kind}, my $piece, CHUNK;
    if ($n) {
        $job->{said} += $n;
        say_all("$kind $job->{id} $n\n", $piece) unless $job->{over} ||= $job->{said} > $longest;
        return $n;
    }
    return 0 if !defined $n && ($!{EAGAIN} || $!{EINTR});
    close delete $job->{$kind};
    return 0;
}

sub done {
    my ($job, $end) = @_;
    if ($change && $change == $job) { ($change, $skip) = (undef, $job->{left}) }
    $failed{$job->{group}} = 1 if $job->{kind} eq "c" && $job->{group} && $end ne "0";
    say_all("x $job->{id} $end\n");
}

# What it prints from now on is nobody's. Of a change it is read all the same.
sub leave {
    my $job = shift;
    for my $kind ("o", "e") {
        my $pipe = delete $job->{$kind} or next;
        $drained{fileno $pipe} = $pipe if $job->{kind} eq "c";
    }
}

sub drain {
    my $number = shift;
    my $n = sysread $drained{$number}, my $drop, CHUNK;
    delete $drained{$number} unless $n || (!defined $n && ($!{EAGAIN} || $!{EINTR}));
}

sub stop {
    my ($job, $end) = @_;
    my $pid = $job->{pid};
    delete $running{$pid};
    leave($job);
    if ($job->{kind} eq "q" || $job->{left} || length $job->{held}) {
        # With the job, its input stays open until it has ended: what ignores TERM must not take half of it for the whole.
        $ending{$pid} = { job => $job, due => now() + GRACE_S };
        kill "TERM", -$pid;
    }
    else { $abandoned{$pid} = 1 }
    done($job, $end);
}

# Adds the groups of the job, and of what descends from it: `timeout`, for one, makes a group of its own.
sub find_groups {
    my $job = shift;
    my (%children, %group);
    $job->{groups}{ $job->{pid} } = 1;
    opendir(my $all, "/proc") or return;
    for my $pid (grep { /^\d+$/ } readdir $all) {
        open my $file, "<", "/proc/$pid/stat" or next;
        local $/;
        my ($parent, $group) = (<$file> // "") =~ /\) \S (\d+) (\d+) [^)]*$/ or next;
        push @{ $children{$parent} }, $pid;
        $group{$pid} = $group;
    }
    my @mine = $job->{pid};
    while (defined(my $pid = shift @mine)) {
        $job->{groups}{ $group{$pid} } = 1 if $group{$pid};
        push @mine, @{ $children{$pid} // [] };
    }
}

# A change that is over its deadline; what comes behind it waits until it has ended, as it may still change something.
sub overdue {
    my $job = shift;
    find_groups($job);
    my $signal = defined $job->{due} ? "KILL" : "TERM";
    kill $signal, map { -$_ } keys %{ $job->{groups} };
    $job->{killed} = 1 if defined $job->{due};
    $job->{due} //= now() + UNDO_S;
}

sub forget {
    stop($_, "k") for grep { $_->{kind} eq "q" } values %running;
    done($_, "k") for splice @queue;
}

sub reap {
    while ((my $pid = waitpid -1, POSIX::WNOHANG()) > 0) {
        my $status = $?;
        # Of a group that was told to end, more than its first process may be left.
        if ($ending{$pid}) { kill "KILL", -$pid; delete $ending{$pid}; next }
        delete $abandoned{$pid};
        my $job = delete $running{$pid} or next;
        # Its own output is in the pipe by now; a process that it left behind may keep the pipe open for ever, and full.
        for my $kind ("o", "e") {
            for (1 .. FULL / CHUNK) { last if relay($job, $kind) < CHUNK }
        }
        leave($job);
        kill "KILL", map { -$_ } keys %{ $job->{groups} // {} };
        my $code = $status & 127 ? 128 + ($status & 127) : $status >> 8;
        done($job, defined $job->{due} ? "t" : $job->{over} && $job->{kind} eq "q" ? "l" : $code);
    }
}

# Takes the next request off what has been read, where it is whole; whether there was one.
sub request {
    return 0 if $change;
    if ($in !~ /^([qcdf]) (\d+) (\d+(?:\.\d+)?) (\d+) (\d+) (\d+)\n/) {
        if ($in =~ /\n/ || length $in > HEAD) { say_all("b 0 0\n"); $gone = 1 }
        return 0;
    }
    my ($head, $kind, $id, $limit, $group, $size, $left) = ($+[0], $1, $2, $3, $4, $5, $6);
    return 0 if length $in < $head + $size + ($kind eq "q" ? $left : 0);
    my $command = substr $in, $head, $size;
    substr $in, 0, $head + $size, "";
    my $job = { kind => $kind, id => $id, limit => $limit + 0, group => $group, command => $command, left => $left };
    if ($kind eq "d") { @$job{"kind", "ends"} = ("c", 1) }
    if ($kind eq "q") {
        $job->{input} = substr $in, 0, $left, "";
        push @queue, $job;
        return 1;
    }
    forget();
    return 1 if $kind eq "f";
    $change = $job;
    begin($job) unless $failed{$group} || $gone;
    return 1;
}

sub pass_input {    # to the change in hand, or away, where it does not run
    my $part = substr $in, 0, $change->{left}, "";
    $change->{left} -= length $part;
    $change->{held} .= $part if $change->{feed};
    feed($change) if $change->{pid};
}

# One step with what has been read; whether there was any.
sub take {
    if ($skip && length $in) { $skip -= length substr $in, 0, $skip, ""; return 1 }    # nobody reads it any more
    return $skip ? 0 : request() unless $change;
    if (!$change->{pid} && !$change->{left}) { done($change, "s"); return 1 }
    return 0 unless $change->{left} && length $in;
    pass_input();
    return 1;
}

sub fill {
    my $busy = grep { $_->{kind} eq "q" && ($most == 1 || now() - $_->{began} < SLOW_S) } values %running;
    while (@queue && !$change && $busy++ < $most) {
        my $job = shift @queue;
        my $input = delete $job->{input};
        @$job{"left"} = length $input;
        begin($job);
        @$job{"held", "left"} = ($input, 0);
        feed($job);
    }
}

sub look_at_limits {
    my $now = now();
    stop($_, "l") for grep { $_->{over} && $_->{kind} eq "q" } values %running;
    for my $job (grep { $_->{limit} && $now - $_->{began} >= $_->{limit} } values %running) {
        if (!$job->{ends}) { stop($job, "t") }
        elsif (!$job->{killed} && $now >= ($job->{due} // 0)) { overdue($job) }
    }
    for my $pid (grep { $now >= $ending{$_}{due} } keys %ending) { kill "KILL", -$pid }
    # Perl may take note of SIGCHLD only after `select` began to wait, so nothing hangs on it: what has closed its output
    # has as good as ended, and what left its output to another process is looked at now and then.
    my $next = busy() ? 0.25 : 3600;
    $next = 0.005 if grep { !$_->{o} && !$_->{e} } values %running;
    for my $due (
        (map { $_->{limit} && !$_->{killed} ? ($_->{due} // $_->{began} + $_->{limit}) - $now : () } values %running),
        (@queue ? map { $_->{began} + SLOW_S - $now } grep { $now - $_->{began} < SLOW_S } values %running : ()),
        (map { $_->{due} - $now } values %ending),
    ) { $next = $due if $due < $next }
    return $next < 0.005 ? 0.005 : $next;
}

# Waits for what can be read and written; both as vectors.
sub awaited {
    my $wait = shift;
    my ($reads, $writes) = ("", "");
    vec($reads, fileno $woken, 1) = 1;
    vec($reads, 0, 1) = 1 if !$gone && (!$change || ($change->{left} && length($change->{held} // "") < FULL));
    vec($reads, $_, 1) = 1 for keys %drained;
    for my $job (values %running) {
        for my $kind ("o", "e") { vec($reads, fileno $job->{$kind}, 1) = 1 if $job->{$kind} }
        vec($writes, fileno $job->{feed}, 1) = 1 if $job->{feed} && length $job->{held};
    }
    my $ready = select $reads, $writes, undef, $wait;
    return $ready > 0 ? ($reads, $writes) : ("", "");
}

sub busy { return %running || %abandoned || %ending }

sub step {
    my $before = $gone;
    reap();
    1 while !$gone && take();
    fill() unless $gone;
    my $wait = look_at_limits();
    return if $gone && (!$before || !busy());
    my ($reads, $writes) = awaited($wait);
    if (vec $reads, fileno $woken, 1) { 1 while sysread $woken, my $drop, 512 }
    for my $number (keys %drained) { drain($number) if vec $reads, $number, 1 }
    for my $job (values %running) {
        for my $kind ("o", "e") { relay($job, $kind) if $job->{$kind} && vec $reads, fileno $job->{$kind}, 1 }
        feed($job) if $job->{feed} && vec $writes, fileno $job->{feed}, 1;
    }
    if (vec $reads, 0, 1) {
        my $n = sysread STDIN, $in, CHUNK, length $in;
        $gone = 1 unless $n || (!defined $n && $!{EINTR});
    }
}

# The connection is gone: what only asks ends at once, and what has half of its input. A change that has all of it goes on.
sub end_all {
    open STDIN, "<", "/dev/null";
    open $_, ">", "/dev/null" for *STDOUT, *STDERR;
    kill "KILL", -$_ for keys %ending;
    for my $job (grep { $_->{kind} eq "q" || $_->{left} || length $_->{held} } values %running) {
        stop($job, "k");
        kill "KILL", -$job->{pid} if $job->{kind} eq "q";
    }
    step() while busy();
}

say_all("\n$nonce ready\n");
step() until $gone;
end_all();
