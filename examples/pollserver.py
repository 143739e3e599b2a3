#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pollserver once more, in Python, by ctypes: written from the text of <molt/molt.h> and nothing else.

    pollserver.py -s /tmp/poll.sock -l tcp://127.0.0.1:7000 -v one &
    pollserver.py -s /tmp/poll.sock -l tcp://127.0.0.1:7000 -v two &     takes over

It answers each line it reads with "label pid generation". libmolt.so.0 is looked for where the dynamic
linker looks, LD_LIBRARY_PATH first.
"""
import argparse
import ctypes
import os
import select
import signal
import socket
import sys
from ctypes import POINTER, c_char_p, c_int, c_int64, c_void_p

SERVE, FAILED, PAUSE, RESUME, RETIRE, SPAWN_FAILED, LEAVE = 2, 3, 5, 7, 8, 9, 10
REASON_LEAVING = 8
DEADLINE_DRAIN, DEADLINE_PROBATION = 7, 8
CLIENTS_MAX = 1000


def load():
    """The functions used below, with their types as the header has them."""
    lib = ctypes.CDLL("libmolt.so.0", use_errno=True)
    for name, result, *arguments in (
            ("molt_new", c_void_p, c_char_p),
            ("molt_free", None, c_void_p),
            ("molt_error", c_char_p, c_void_p),
            ("molt_set_label", c_int, c_void_p, c_char_p),
            ("molt_set_deadline", c_int, c_void_p, c_int, c_int64),
            ("molt_start", c_int, c_void_p),
            ("molt_listen", c_int, c_void_p, c_char_p, c_char_p),
            ("molt_listener_count", c_int, c_void_p, c_char_p),
            ("molt_listener_fd", c_int, c_void_p, c_char_p, c_int),
            ("molt_fd", c_int, c_void_p),
            ("molt_dispatch", c_int, c_void_p),
            ("molt_ready", c_int, c_void_p),
            ("molt_next_event", c_void_p, c_void_p),
            ("molt_event_type", c_int, c_void_p),
            ("molt_event_reason", c_int, c_void_p),
            ("molt_event_type_name", c_char_p, c_int),
            ("molt_reason_name", c_char_p, c_int),
            ("molt_event_text", c_char_p, c_void_p),
            ("molt_event_fd", c_int, c_void_p),
            ("molt_set_remaining", c_int, c_void_p, c_int64),
            ("molt_drain", c_int, c_void_p),
            ("molt_spawn", c_int, c_void_p, POINTER(c_char_p), POINTER(c_char_p)),
            ("molt_generation", c_int64, c_void_p)):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Server:
    def __init__(self, options):
        self.options = options
        self.lib = load()
        self.accepting = False
        self.stopping = False
        self.status = None
        self.clients = {}  # descriptor: (socket, bytes owed)
        self.wakeup = self.signals()
        self.molt = self.lib.molt_new(options.socket.encode())
        if not self.molt:
            self.fail(os.strerror(ctypes.get_errno()))

    def signals(self):
        """SIGTERM and SIGHUP arrive as bytes on a socket."""
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        reader.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        self.wakeup_writer = writer
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        return reader

    def fail(self, sentence):
        print(f"pollserver.py[{os.getpid()}] cannot start: {sentence}", file=sys.stderr)
        sys.exit(1)

    def call(self, name, *arguments):
        """For calls that must not fail."""
        result = getattr(self.lib, "molt_" + name)(self.molt, *arguments)
        if result < 0:
            self.fail(self.lib.molt_error(self.molt).decode())
        return result

    def say(self, text):
        label = f" ({self.options.label})" if self.options.label else ""
        generation = self.lib.molt_generation(self.molt)
        line = f"pollserver.py[{os.getpid()}] generation {generation}{label}: {text}\n"
        os.write(2, line.encode())

    def start(self):
        if self.options.label:
            self.call("set_label", self.options.label.encode())
        if self.options.drain is not None:
            self.call("set_deadline", DEADLINE_DRAIN, int(self.options.drain * 1000))
        if self.options.probation is not None:
            self.call("set_deadline", DEADLINE_PROBATION, int(self.options.probation * 1000))
        self.call("start")
        self.listen()
        self.call("ready")

    def listen(self):
        for i, address in enumerate(self.options.listen):
            self.call("listen", f"listener{i}".encode(), address.encode())

    def listeners(self):
        for i in range(len(self.options.listen)):
            name = f"listener{i}".encode()
            for j in range(self.lib.molt_listener_count(self.molt, name)):
                yield self.lib.molt_listener_fd(self.molt, name, j)

    def say_listening(self):
        for address, fd in zip(self.options.listen, self.listeners()):
            with socket.socket(fileno=os.dup(fd)) as s:
                if s.family in (socket.AF_INET, socket.AF_INET6):
                    host, port = s.getsockname()[:2]
                    host = f"[{host}]" if ":" in host else host
                    address = f"tcp://{host}:{port}"
            self.say("listening on " + address)

    def accept(self, fd, limit):
        """The listener is the library's: what Python makes of it is a copy, closed again."""
        with socket.socket(fileno=os.dup(fd)) as listener:
            for _ in range(limit):
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                client.setblocking(False)
                self.clients[client.fileno()] = (client, b"")

    def answer(self, fd):
        """Reads only what can be answered; an end or an error ends the connection."""
        client, owed = self.clients[fd]
        try:
            if not owed:
                lines = client.recv(4096)
                if not lines:
                    raise ConnectionResetError
                generation = self.lib.molt_generation(self.molt)
                line = f"{self.options.label or '-'} {os.getpid()} {generation}\n".encode()
                owed = line * lines.count(b"\n")
            if owed:
                owed = owed[client.send(owed):]
            self.clients[fd] = (client, owed)
        except BlockingIOError:
            self.clients[fd] = (client, owed)
        except OSError:
            client.close()
            del self.clients[fd]

    def on_signals(self):
        for number in self.wakeup.recv(64):
            if number == signal.SIGHUP:
                self.spawn()
            elif self.stopping or self.lib.molt_drain(self.molt) < 0:
                self.say("exits at once")
                self.status = 1
            else:
                self.stopping = True
                self.say("drains")

    def spawn(self):
        arguments = [sys.executable.encode(), *(a.encode() for a in sys.argv), None]
        argv = (c_char_p * len(arguments))(*arguments)
        pid = self.lib.molt_spawn(self.molt, argv, None)
        if pid < 0:
            self.say("cannot start a successor: " + self.lib.molt_error(self.molt).decode())
        else:
            self.say(f"started the successor {pid}")

    def say_event(self, event, kind):
        reason = self.lib.molt_event_reason(event)
        text = self.lib.molt_event_type_name(kind).decode()
        if reason:
            text += ", " + self.lib.molt_reason_name(reason).decode()
        if kind in (FAILED, SPAWN_FAILED):
            text += ": " + self.lib.molt_event_text(event).decode()
        self.say(text)

    def on_event(self, event):
        kind = self.lib.molt_event_type(event)
        self.say_event(event, kind)
        if kind == SERVE:
            self.accepting = True
            self.say_listening()
        elif kind == RESUME:
            self.listen()
            self.accepting = True
        elif kind == PAUSE:
            self.accepting = False
        elif kind == RETIRE:
            self.accepting = False
            if self.lib.molt_event_reason(event) != REASON_LEAVING:
                self.accept(self.lib.molt_event_fd(event), 1000)
            self.lib.molt_set_remaining(self.molt, len(self.clients))
        elif kind == LEAVE:
            self.status = 0
        elif kind == FAILED:
            self.status = 1

    def dispatch(self):
        self.lib.molt_set_remaining(self.molt, len(self.clients))
        self.lib.molt_dispatch(self.molt)
        while self.status is None:
            event = self.lib.molt_next_event(self.molt)
            if not event:
                break
            self.on_event(event)

    def turn(self):
        poll = select.poll()
        poll.register(self.lib.molt_fd(self.molt), select.POLLIN)
        poll.register(self.wakeup, select.POLLIN)
        accepting = self.accepting and len(self.clients) < CLIENTS_MAX
        listeners = set(self.listeners()) if accepting else set()
        for fd in listeners:
            poll.register(fd, select.POLLIN)
        for fd, (_, owed) in self.clients.items():
            poll.register(fd, select.POLLOUT if owed else select.POLLIN)
        for fd, _ in poll.poll():
            if fd in listeners:
                self.accept(fd, 64)
            elif fd in self.clients:
                self.answer(fd)
            elif fd == self.wakeup.fileno():
                self.on_signals()
        self.dispatch()

    def run(self):
        self.start()
        while self.status is None:
            self.turn()
        self.lib.molt_free(self.molt)
        return self.status


def main():
    parser = argparse.ArgumentParser(description="answers each line with: label pid generation")
    parser.add_argument("-s", "--socket", required=True, help="where generations meet")
    parser.add_argument("-l", "--listen", action="append", help="ADDRESS, may be repeated")
    parser.add_argument("-v", "--label", help="a word for this version")
    parser.add_argument("-d", "--drain", type=float, help="SECONDS")
    parser.add_argument("-P", "--probation", type=float, help="SECONDS")
    options = parser.parse_args()
    options.listen = options.listen or ["tcp://127.0.0.1:8080"]
    return Server(options).run()


if __name__ == "__main__":
    sys.exit(main())
