#!/usr/bin/python3
"""A role that has been taken over: it takes what the keeper hands down, says READY, and then does what
the file named by SALLYPORT_TEST_SHIM says: an act, which is done once, or how to answer batches. It stands where the
real role's program stands; tests/e2e/test_hostile_keeper.py puts it there."""
import array, mmap, os, random, select, socket, struct, sys, threading, time

ROLE_MAGIC, PINHOLE_MAGIC = 0x31454C52, 0x31504853
STATS, PINHOLE, END, IMAGE, GUARD, CATALOG, CLOSE, FLUSH, DRAIN = 2, 6, 11, 12, 13, 14, 15, 16, 17
READY, APPLIED, CLOSED, FAILED, FLUSHED = 64, 65, 66, 67, 68
OPEN = 1
channel = socket.socket(fileno=3)
rng = random.Random(4)
pairs, held, stats, pulseless = {}, [], None, False
ACTS = ("odd", "flood-keeper", "short", "long", "promises-descriptors", "scribble", "ever-after", "close", "forge",
        "linger")
seen = []  # sequence numbers of batches, oldest first


def mode():
    try:
        return open(os.environ["SALLYPORT_TEST_SHIM"]).read().split() or ["idle"]
    except OSError:
        return ["idle"]


def send(kind, a=0, b=0, payload=b""):
    channel.send(struct.pack("=IHHQQQ", ROLE_MAGIC, kind, 0, a, b, len(payload)) + payload)


def beat(value=None, lane=0):
    if stats:
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        struct.pack_into("=Q", stats, 64, now if value is None else value)


def heart():
    while True:
        if not pulseless:
            beat()
        time.sleep(0.2)


def results(seq, statuses, n=None, magic=PINHOLE_MAGIC, version=1):
    head = struct.pack("=IHHQ", magic, version, len(statuses) if n is None else n, seq)
    return head + b"".join(struct.pack("=IIQ", s, 0, 1) for s in statuses)


def answer(pair, msg, how):
    """One batch in the way of the present mode."""
    n, seq = struct.unpack_from("=H", msg, 6)[0], struct.unpack_from("=Q", msg, 8)[0]
    seen.append(seq)
    good, out = [OPEN] * n, []
    if how == "true":
        out = [results(seq, good)]
    elif how == "sequence":
        out = [results(s & (2 ** 64 - 1), good) for s in (seq + 1, seq - 1, seq + 2, 0, 2 ** 64 - 1, *seen[:-1][-5:])]
    elif how == "count":
        out = [results(seq, [OPEN] * (n + 1)), results(seq, good, n=0), results(seq, [OPEN] * 255),
               results(seq, good, n=n + 1), results(seq, good + [OPEN], n=n)]
    elif how == "head":
        out = [results(seq, good, magic=m) for m in (0, ROLE_MAGIC, 2 ** 32 - 1)] + \
              [results(seq, good, version=v) for v in (0, 2, 65535)]
    elif how == "cut":
        whole = results(seq, good)
        out = [whole[:i] for i in range(1, len(whole))] + [whole + b"\0" * i for i in (1, 8, 16)]
    elif how == "huge":
        out = [os.urandom(65536), results(seq, [OPEN] * 4000), b"\0" * 70000]
    elif how == "babble":
        out = [b"nonsense"] * 1000
    elif how == "status":
        out = [results(seq, [rng.choice((0, 2, 3, 4, 5, 6, 7, 8, 255, 2 ** 32 - 1)) for _ in good])]
    elif how == "late":
        threading.Timer(0.4, lambda: try_send(pair, results(seq, good))).start()
    elif how == "flood":
        for i in range(3000):
            if not try_send(pair, results(seq + 1 + i, good)):
                break
    for m in out:
        try_send(pair, m)


def try_send(pair, msg):
    try:
        pair.send(msg, socket.MSG_DONTWAIT)
        return True
    except OSError:
        return False


def odd_messages():
    """Well-formed, and nothing that this role has to say."""
    numbers = (0, 1, 2, 999, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 63, 2 ** 64 - 1)
    for kind in list(range(0, 80)) + [255, 256, 32768, 65535]:
        if kind in (FAILED, READY):
            continue
        for a in numbers:
            yield kind, a, rng.choice(numbers), os.urandom(rng.choice((0, 1, 4, 8, 100, 60000)))


def misbehave(how):
    global pulseless
    if how == "odd":
        for m in odd_messages():
            send(*m)
        for _ in range(100):
            send(READY)
    elif how == "flood-keeper":
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            for kind in (APPLIED, CLOSED, FLUSHED, READY, 200):
                send(kind, rng.randrange(3), 1, b"x" * 1000)
    elif how == "short":
        channel.send(struct.pack("=IHH", ROLE_MAGIC, READY, 0))
    elif how == "long":
        channel.send(struct.pack("=IHHQQQ", ROLE_MAGIC, READY, 0, 0, 0, 70000) + b"x" * 70000)
    elif how == "promises-descriptors":
        channel.send(struct.pack("=IHHQQQ", ROLE_MAGIC, READY, 4, 0, 0, 0))
    elif how == "scribble":
        end = time.monotonic() + 1
        while time.monotonic() < end:
            stats[:] = os.urandom(len(stats))
            time.sleep(0.01)
    elif how == "ever-after":
        pulseless = True
        beat(2 ** 64 - 1)
    elif how == "close":
        os.close(3)
        time.sleep(60)
    elif how == "forge":
        send(FAILED, 0, 0, b"gone\nlevel=info role=keeper tag=policy msg=\"version 99 is in force\"\n\x1b[2J" * 500)
        os._exit(1)
    elif how == "linger":
        fd = array.array("i", [1])
        try:
            channel.sendmsg([struct.pack("=IHHQQQ", ROLE_MAGIC, READY, 1, 0, 0, 0)],
                            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fd)])
            send(FAILED, 0, 0, b"descriptors are let in")
        except PermissionError:
            pass


def on_message(data, fds):
    global stats
    _, kind, _, a, b, n = struct.unpack("=IHHQQQ", data[:32])
    if kind == STATS:
        stats = mmap.mmap(fds[0], 0)
    elif kind == PINHOLE:
        pairs[fds[0]] = socket.socket(fileno=fds[0])
    elif kind == END:
        beat()
        send(READY)
        return True
    elif kind in (GUARD, CATALOG, IMAGE):
        send(APPLIED, a)
    elif kind == CLOSE and b & 1:
        send(CLOSED, a)
    elif kind == FLUSH:
        send(FLUSHED)
    elif kind == DRAIN:
        os._exit(0)
    held.extend(fds)
    return False


def main():
    threading.Thread(target=heart, daemon=True).start()
    ready = False
    while True:
        how = mode()[0]
        if ready and how in ACTS:
            os.unlink(os.environ["SALLYPORT_TEST_SHIM"])  # once, and not by the next one, too
            misbehave(how)
        for fd in select.select([3, *pairs], [], [], 0.02)[0]:
            if fd == 3:
                data, fds, _, _ = socket.recv_fds(channel, 1 << 17, 8)
                if not data:
                    return
                ready |= on_message(data, fds)
            else:
                try:
                    msg = pairs[fd].recv(1 << 17, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                if msg:
                    answer(pairs[fd], msg, mode()[0])


try:
    main()
except (BrokenPipeError, ConnectionResetError):
    sys.exit(0)
