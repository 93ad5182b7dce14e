"""Sallyport's verdicts beside those of BIND and Unbound: the same questions, the same upstream.

usage: differential.py [--only TEXT] [--show]
A tree of zones of all kinds, good and broken (tree.py, kinds.py, kinds_broken.py), is made from a fixed seed and signed anew; an
upstream of our own tells it exactly as it was made (authority.py). Each resolver forwards to it from a
network namespace of its own, with the tree's root as the trust anchor. What they say is compared in
RCODE, AD and answer set, with one another and with what the tree was made to be. Every disagreement
must be explained by an entry of explained.py; exit status 1 when one is not.
--only TEXT: kinds with TEXT in their title. --show: every disagreement, explained or not.
Environment: BENCH_QUESTIONS (24000), BENCH_SEED (5).
"""
import base64, collections, os, random, select, socket, struct, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))
sys.path.insert(0, HERE)
import harness as h
import unbound

from authority import Authority
from dnswire import *
from explained import explain  # which knows all kinds
from tree import Tree
from zone import weakest

SEED = int(os.environ.get("BENCH_SEED", "5"))
UPSTREAM = ("127.0.0.1", 5301)
WINDOW, PATIENCE_S = 150, 12

SALLYPORT = """\
workers: 1
listen: [{address: 127.0.0.1, port: 5310}]
upstreams: [{zone: ".", servers: [{address: 127.0.0.1, port: 5301}]}]
dnssec: {mode: validate, trust_anchors: [ANCHOR], sha1: true, nsec3_iterations: 50, aggressive: false}
firewall: {mode: none}
cache: {size: 256MiB}
"""
POLICY = """\
version: 1
profiles:
  all:
    allow:
      - {zone: ., ports: none, types: [A, AAAA, CNAME, TXT, MX, NS, SOA, DS, DNSKEY, SRV, CAA, NSEC, DNAME, TYPE65280]}
workloads:
  bench: {source: 127.0.0.1, profile: all}
"""
UNBOUND = unbound.config(
    "DIR", UPSTREAM[1], "verbosity: 1", 'module-config: "validator iterator"', 'trust-anchor-file: "DIR/anchor"',
    'val-nsec3-keysize-iterations: "1024 50 2048 50 4096 50"', "aggressive-nsec: no", "harden-below-nxdomain: no",
    "qname-minimisation: no", "prefetch: no", "rrset-roundrobin: no", "msg-cache-size: 128m", "rrset-cache-size: 256m")
BIND = """\
options {
    directory "DIR";
    listen-on port 5312 { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none; session-keyfile none;
    recursion yes;
    allow-query { any; };
    forward only;
    forwarders { 127.0.0.1 port 5301; };
    dnssec-validation yes;
    empty-zones-enable no;
    synth-from-dnssec no;
    qname-minimization off;
    servfail-ttl 0;
    recursive-clients 4000;
};
controls { };
trust-anchors { . static-key 257 3 13 "KEY"; };
"""


class Resolver:
    """Started in its own namespace, where the upstream is already."""

    def __init__(self, name, port):
        self.name, self.port, self.answers = name, port, {}

    def wait(self):
        def answered():
            with h.inside(self.name):
                return h.ask("127.0.0.1", "www.secure.test", port=self.port, timeout=0.5)
        try:
            h.until(f"{self.name} answers", answered, 15)
        except AssertionError as e:
            sys.exit(f"{e}\n{open(h.work(self.name, 'log')).read()[-2000:] if self.name != 'sallyport' else self.sp.logs()}")

    def start(self, key):
        folder = h.work(self.name)
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/anchor", "w") as f:
            f.write(f". 3600 IN DNSKEY 257 3 13 {key}\n")
        if self.name == "sallyport":
            self.sp = h.Sallyport(self.name, SALLYPORT.replace("ANCHOR", f"{folder}/anchor"), name="sp").up()
            self.sp.apply(POLICY)
        else:
            conf, command = {"unbound": (UNBOUND, ["unbound", "-d", "-c"]), "bind": (BIND, ["named", "-g", "-n", "1", "-c"])}[self.name]
            with open(f"{folder}/conf", "w") as f:
                f.write(conf.replace("DIR", folder).replace("KEY", key))
            h.start(command + [f"{folder}/conf"], ns=self.name, log=f"{folder}/log")
        self.wait()
        return self

    def ask_all(self, questions):
        """Every question, WINDOW at a time; one that nobody answers is asked twice."""
        with h.inside(self.name):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
            sock.connect(("127.0.0.1", self.port))
        sock.setblocking(False)
        waiting, todo, again = {}, list(range(len(questions)))[::-1], set()
        truncated = []
        while todo or waiting:
            while todo and len(waiting) < WINDOW:
                i = todo.pop()
                q = questions[i]
                sock.send(query(i & 0xffff, q.qname, q.qtype, *q.flags))
                waiting[i & 0xffff] = (i, time.monotonic())
            ready, _, _ = select.select([sock], [], [], 0.2)
            while ready:
                try:
                    msg = sock.recv(65535)
                except BlockingIOError:
                    break
                i, _ = waiting.pop(msg[0] << 8 | msg[1], (None, 0))
                if i is None:
                    continue
                if msg[2] & 2:
                    truncated.append(i)
                else:
                    self.answers[i] = read_answer(msg)
            now = time.monotonic()
            for qid, (i, sent) in list(waiting.items()):
                if now - sent > PATIENCE_S:
                    del waiting[qid]
                    if i not in again:
                        again.add(i)
                        todo.append(i)
        for i in truncated:
            self.answers[i] = self.ask_tcp(i, questions[i])

    def ask_tcp(self, i, q):
        with h.inside(self.name):
            sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        with sock:
            out = query(i & 0xffff, q.qname, q.qtype, *q.flags)
            sock.sendall(struct.pack(">H", len(out)) + out)
            head = h._exactly(sock, 2)
            return read_answer(h._exactly(sock, struct.unpack(">H", head)[0])) if head else None


class Question:
    FLAGS = ((True, False, False),) * 9 + ((False, True, False),) * 5 + ((True, True, False),) * 2 + \
        ((False, False, False),) * 2 + ((False, False, True), (True, True, True))

    def __init__(self, kind, qname, qtype, flags):
        self.kind, self.qname, self.qtype, self.flags = kind, qname, qtype, flags

    def __str__(self):
        flags = "".join(" " + f for f, on in zip(("ad", "do", "cd"), self.flags) if on)
        return f"{text(self.qname)} {TEXTS[self.qtype]}{flags}"

    def expect(self, tree):
        """(rcode, AD, state) as the tree was made."""
        ad, do, cd = self.flags
        links = tree.resolve(self.qname, self.qtype)
        self.tree, self.links, self.state = tree, links, weakest(*(link.state for link in links))
        rcode = links[-1].rcode if cd or self.state != "bogus" else SERVFAIL
        self.expected = (rcode, self.state == "secure" and (ad or do))


def ask_what(tree, n, only):
    """Questions about every zone: what is there, what is not, what nearly is."""
    rng, questions, seen = random.Random(SEED + 1), [], set()
    zones = [z for z in tree.zones.values() if only in z.kind]
    kinds = collections.OrderedDict()
    for z in zones:
        kinds.setdefault(z.kind, []).append(z)
    rare = (TXT, MX, NS, SOA, DS, DNSKEY, CNAME, TYPES["SRV"], TYPES["TYPE65280"])
    while len(questions) < n:
        before = len(questions)
        for z in [rng.choice([z for z in group if len(z.data) > 8] or group) if rng.randrange(4) else rng.choice(group)
                  for group in kinds.values()]:
            base = rng.choice([o for o in z.data if o[:1] != (b"ns",)] or list(z.data))
            form, types = rng.randrange(14), [A, A, AAAA, *rare]
            if form < 6:
                qname = base
                types = [t for t in z.data[base] if t in TEXTS and t not in (RRSIG, NSEC3PARAM)] * 3 + [A, rng.choice(rare)]
                if z.signed and z.denial == "nsec" and CNAME not in z.data[base] and base != z.apex and not z.is_cut(base):
                    types.append(NSEC)
            elif form < 8:
                qname = (b"www",) + z.apex
                types = [A, A, AAAA, TXT, rng.choice(rare)]
            elif form == 8:
                qname = (f"no{rng.randrange(5)}".encode(),) + base
            elif form == 9:
                qname = (f"no{rng.randrange(9)}".encode(),) + z.apex
            elif form == 10:
                qname = (rng.choice((b"x", b"y", b"k")), rng.choice((b"ent", b"sub", b"walias"))) + z.apex
            elif form == 11:
                qname = (rng.choice((b"www", b"alias", b"x")), rng.choice((b"d", b"dp"))) + z.apex
            elif form == 12:
                qname, types = (b"%d" % rng.randrange(9), b"wild") + z.apex, [A, A, TXT, MX]
            else:
                qname = rng.choice((b"alias", b"to-plain", b"alias-secure", b"to-broken", b"dangling")),
                qname += z.apex
            qtype, flags = rng.choice(types), rng.choice(Question.FLAGS)
            if len(wire(qname)) <= 255 and (qname, qtype, flags) not in seen:
                seen.add((qname, qtype, flags))
                questions.append(Question(tree.zone_of(qname, qtype).kind, qname, qtype, flags))
        if len(questions) == before:
            break
    rng.shuffle(questions)
    return questions[:n]


def same(a, b):
    if a is None or b is None:
        return a is b
    return a[0] == b[0] and a[1] == b[1] and set(a[3]) == set(b[3])


def shown(a):
    if a is None:
        return "nothing"
    records = collections.Counter(TEXTS.get(r[1], r[1]) for r in a[3])
    return f"{RCODES.get(a[0], a[0])}{' ad' if a[1] else ''} {dict(records) or ''} {'EDE ' + str(a[4]) if a[4] else ''}"


PORTS = {"sallyport": 5310, "unbound": 5311, "bind": 5312}


def run(names, n, only=""):
    """Make the tree, start these resolvers, Sallyport first, and ask them all."""
    begin = time.monotonic()
    tree = Tree(SEED, int(time.time()))
    questions = ask_what(tree, n, only)
    resolvers = [Resolver(h.host(name), PORTS[name]) for name in names]
    upstream = Authority(tree, [(name, *UPSTREAM) for name in names])
    key = base64.b64encode(tree.root.keys[0].rdata[4:]).decode()
    for q in questions:
        q.expect(tree)
    print(f"{len(questions)} questions about {len(tree.zones)} zones of {len({z.kind for z in tree.zones.values()})} kinds, "
          f"made in {time.monotonic() - begin:.0f} s", flush=True)
    for r in resolvers:
        at = time.monotonic()
        r.start(key).ask_all(questions)
        print(f"  {r.name}: {len(r.answers)} answers in {time.monotonic() - at:.0f} s", flush=True)
    upstream.stop()
    resolvers[0].sp.down()
    return questions, resolvers


def disagreements(questions, resolvers):
    """(question, name, Sallyport's answer, the other's, rule or None) of each; counts by kind."""
    ours, peers, kinds, found = resolvers[0], resolvers[1:], {}, []
    for i, q in enumerate(questions):
        a, row = ours.answers.get(i), kinds.setdefault(q.kind, collections.Counter())
        row.update(("n", q.state))
        pairs = [("made", None)] if a is None or (a[0], a[1]) != q.expected else []
        pairs += [(p.name, p.answers.get(i)) for p in peers if not same(a, p.answers.get(i))]
        row.update({"made", *(p.name for p in peers)} - {name for name, _ in pairs})
        found += [(q, name, a, b, explain(q, name, a, b)) for name, b in pairs]
    return found, kinds


def told(q, name, a, b, rule):
    said = shown(b) if name != "made" else f"{RCODES[q.expected[0]]}{' ad' * q.expected[1]} {q.state}"
    return f"{'explained' if rule else 'UNEXPLAINED'} [{q.kind}] {q}: sallyport {shown(a)}; {name} {said}"


def table(head, rows):
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


def report(questions, resolvers, show):
    found, kinds = disagreements(questions, resolvers)
    columns = ["made"] + [r.name for r in resolvers[1:]]
    for d in found:
        if show or not d[4]:
            print(told(*d))
    kinds = dict(sorted(kinds.items()))
    kinds["all"] = sum(kinds.values(), collections.Counter())
    table(["kind of zone", "questions", "secure", "insecure", "bogus"] + ["as " + c for c in columns],
          [(k, row["n"], row["secure"], row["insecure"], row["bogus"], *(row[c] for c in columns)) for k, row in kinds.items()])
    classes = {}
    for _, name, _, _, rule in found:
        if rule:
            classes.setdefault(rule, collections.Counter())[name] += 1
    table(["disagreement", "decided by"] + columns, [(r.title, r.decides, *(counts[c] for c in columns)) for r, counts in classes.items()])
    unexplained = sum(not d[4] for d in found)
    print(f"\n{len(questions)} questions, {len(found)} disagreements in {len(classes)} classes, {unexplained} unexplained")
    return 1 if unexplained else 0


def main():
    h.enter(os.path.abspath(__file__), seconds=1800)
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    questions, resolvers = run(("sallyport", "bind", "unbound"), int(os.environ.get("BENCH_QUESTIONS", "24000")), only)
    return report(questions, resolvers, "--show" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
