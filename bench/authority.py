"""The upstream of the bench: answers any name of a generated tree as a recursive server without a
validator would, whatever is wrong with it, by UDP and TCP, in several namespaces at once.

It is a process of its own, made by fork, so that it does not wait for whoever asks.
"""
import os, select, signal, socket, struct, threading, traceback

import harness as h
from dnswire import *

SIZE = 1232  # of an answer by UDP, unless the question allows less


class Authority:
    def __init__(self, tree, places):
        """`places`: (namespace, address, port) of each socket."""
        self.tree, self.memo, self.sockets = tree, {}, []
        for ns, address, port in places:
            with h.inside(ns):
                udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                udp.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
                udp.bind((address, port))
                tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind((address, port))
                tcp.listen(256)
            self.sockets.append((udp, tcp))
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.serve()
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        for udp, tcp in self.sockets:
            udp.close()
            tcp.close()

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)

    def serve(self):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for _, tcp in self.sockets:
            threading.Thread(target=self.accept, args=(tcp,), daemon=True).start()
        poll = select.epoll()
        by_fd = {udp.fileno(): udp for udp, _ in self.sockets}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        while True:
            for fd, _ in poll.poll():
                try:
                    q, who = by_fd[fd].recvfrom(4096)
                except OSError:  # somebody did not wait for his answer
                    continue
                out = self.reply(q)
                if len(out) > SIZE:
                    end = self.question_end(q)
                    out = q[:2] + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + q[12:end]
                try:
                    by_fd[fd].sendto(out, who)
                except OSError:
                    continue

    def accept(self, tcp):
        while True:
            conn, _ = tcp.accept()
            threading.Thread(target=self.converse, args=(conn,), daemon=True).start()

    def converse(self, conn):
        with conn:
            conn.settimeout(20)
            try:
                while True:
                    head = h._exactly(conn, 2)
                    if not head:
                        return
                    out = self.reply(h._exactly(conn, struct.unpack(">H", head)[0]))
                    conn.sendall(struct.pack(">H", len(out)) + out)
            except OSError:
                return

    @staticmethod
    def question_end(q):
        pos = 12
        while q[pos]:
            pos += 1 + q[pos]
        return pos + 5

    def reply(self, q):
        """Made once a question; ID and the letter case of the question are the asker's."""
        end = self.question_end(q)
        key = self.tree.shape(q[12:end].lower())
        known = self.memo.get(key)
        if known is None:
            qname, qtype = read_question(q[:12] + key)
            links = self.tree.resolve(qname, qtype, most=9)
            answer = [r for link in links for s in link.answer for r in s.records()]
            authority = [r for link in links for s in link.authority for r in s.records()]
            known = self.memo[key] = message(0, 0x8180 | links[-1].rcode, (qname, qtype), (answer, authority))
        return q[:2] + known[2:12] + q[12:end] + known[end:]
