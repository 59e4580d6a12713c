"""The supervisor of `serve --workers`: one port, several processes.

    supervisor ── binds the sockets, prints the address, restarts a worker that has died
        ├── worker: `sonic-voice serve ...` again, listening on the same sockets
        └── worker

The supervisor is the process manager of `uvicorn`. The workers do not run its `Server`: that closes
every WebSocket with 1012 as soon as SIGTERM comes, and does not ration what a client sends before
it is parsed, as `bridge.connections` does.

    SIGTERM          all workers drain, for `--drain-s`, then all have ended
    SIGINT           all workers end at once
    a second one     all workers are ended without a goodbye
    SIGHUP           the workers are replaced one after the other, by the present code and
                     configuration
    SIGTTIN, SIGTTOU one worker more, one less

A worker whose supervisor was killed drains, too. The metrics of all workers are added up, see
`bridge.exposition`; the supervisor removes the gauges of those that have died.
"""

import logging
import os
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from typing import NoReturn, cast

import typer
from uvicorn.config import Config
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from ..bridge.exposition import FOLDER_VARIABLE, remove_process
from ..bridge.server import cannot_listen, displayed_host
from ..errors import ConfigError
from .printing import echo
from .serving import ServeOptions, access_rules, greeting
from .signals import SIGNAL_EXIT
from .worker_seat import DRAIN, END, PING, WorkerSeat, take_seat

_log = logging.getLogger(__name__)

START_S = 60
"""Maximum time for a new worker to listen when it replaces another one, in seconds."""

ANSWER_S = 15
"""Maximum time for a worker to answer its supervisor, in seconds. A thread answers, so that only a
process that is stopped or starved is late. It is then killed and replaced."""

LOOK_S = 0.2
"""Interval at which the supervisor looks after workers that are ending, in seconds."""

BACKLOG = 1024
"""Number of connections that may wait while all workers are busy."""


def supervise(options: ServeOptions) -> NoReturn:
    """Serve with several workers, until a signal ends them.

    Args:
        options: The options of the command.

    Raises:
        ConfigError: The port cannot be listened on, or the rules of access are not strict enough.
        typer.Exit: With the exit code of the signal, or of a worker that cannot start.
    """
    if sys.platform == "win32":
        raise ConfigError(
            "Several workers need signals that Windows does not have.",
            hint="Start one server for each core, at ports of their own, behind a load balancer.",
        )
    access_rules(options)
    sockets = _bound(options.host, options.port)
    port = sockets[0].getsockname()[1]
    scheme = "https" if options.tls else "http"
    text = greeting(options, f"{scheme}://{displayed_host(options.host)}:{port}/")
    with tempfile.TemporaryDirectory(prefix="sonic-voice-metrics-") as folder:
        os.environ[FOLDER_VARIABLE] = folder
        config = Config(
            "sonic_voice",  # nothing is loaded from there
            workers=options.workers,
            log_config=None,
            timeout_worker_healthcheck=ANSWER_S,
        )
        supervisor = _Supervisor(config, sockets, text)
        try:
            supervisor.run()
        finally:
            supervisor.kill_all()
    raise typer.Exit(supervisor.exit_code)


def _bound(host: str, port: int) -> list[socket.socket]:
    """Return sockets that are bound to all addresses of a host, at one port.

    Raises:
        ConfigError: It cannot be bound.
    """
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
            port = bound[0].getsockname()[1] if bound else port
            place = (str(address[0]), port)
            bound.append(socket.create_server(place, family=family, backlog=BACKLOG))
    except OSError as error:
        for one in bound:
            one.close()
        raise cannot_listen(host, port, error) from error
    return bound


class _Worker(Process):
    """A worker, as its supervisor and as the process itself see it."""

    was_ready = False
    """True once it has listened."""

    def _healthcheck(self, timeout: float) -> bool | None:
        """Ask the worker whether it listens. See `uvicorn`."""
        try:
            self.parent_conn.send_bytes(PING)
            if not self.parent_conn.poll(timeout):
                return None
            ready = self.parent_conn.recv() is True
        except (OSError, EOFError):
            return None
        if ready and not self.was_ready:
            self.was_ready = True
            _log.info("worker %s listens", self.pid)
        return ready

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Run the command line of the supervisor, in the new process."""
        from . import main

        self.parent_conn.close()  # so that the end of the supervisor is seen
        take_seat(WorkerSeat(sockets or [], self.child_conn))
        main()

    def order(self, message: bytes) -> None:
        """Send an order, unless the worker is leaving already."""
        with suppress(OSError):
            self.parent_conn.send_bytes(message)

    def terminate(self) -> None:
        """Let this worker drain alone, while the others go on."""
        self.parent_conn.close()
        self.child_conn.close()

    def interrupt(self) -> None:
        """Send SIGINT: the second signal ends it without a goodbye."""
        if self.process.is_alive() and self.process.pid is not None:
            os.kill(self.process.pid, signal.SIGINT)


class _Supervisor(Multiprocess):
    """The process manager of `uvicorn`, with our workers.

    Args:
        config: The configuration of the process manager.
        sockets: The sockets of the port.
        text: What to print when the workers listen.
    """

    def __init__(self, config: Config, sockets: list[socket.socket], text: str) -> None:
        super().__init__(config, sockets)
        self.processes_num: int = config.workers
        self.exit_code = 1
        self._text = text
        self._order = DRAIN

    def init_processes(self) -> None:
        """Start the workers, and print the address as soon as all listen."""
        self.processes.extend(self._started() for _ in range(self.processes_num))
        while not self.should_exit.is_set() and self._text:
            self.handle_signals()
            self.keep_subprocess_alive()
            if all(cast(_Worker, worker).was_ready for worker in self.processes):
                echo(self._text)
                self._text = ""
            time.sleep(LOOK_S)

    def keep_subprocess_alive(self) -> None:
        """Replace each worker that has died or does not answer."""
        for index, process in enumerate(self.processes):
            worker = cast(_Worker, process)
            if self.should_exit.is_set() or worker.is_alive(ANSWER_S):
                continue
            worker.kill()
            worker.join()
            self._forget(worker)
            code = worker.exitcode or 0
            if code > 0 and not worker.was_ready:  # every other one would fail in the same way
                self.exit_code = code
                self.should_exit.set()
                return
            _log.warning("worker %s has ended with %s, and is replaced", worker.pid, code)
            self.processes[index] = self._started()

    def restart_all(self) -> None:
        """Replace the workers one after the other. Each drains while its successor serves."""
        for index in range(len(self.processes)):
            successor = self._started()
            if not successor.wait_until_ready(START_S, self.should_exit):
                successor.kill()
                successor.join()
                _log.error("a new worker does not start: the others stay as they are")
                return
            leaving, self.processes[index] = self.processes[index], successor
            self._let_leave(cast(_Worker, leaving))
            if self.should_exit.is_set():
                return

    def handle_int(self) -> None:
        """End all workers at once."""
        self._stop(signal.SIGINT, END)

    def handle_term(self) -> None:
        """Let all workers drain."""
        self._stop(signal.SIGTERM, DRAIN)

    def handle_ttin(self) -> None:
        """Start one more worker."""
        self.processes_num += 1
        self.processes.append(self._started())

    def handle_ttou(self) -> None:
        """Let one worker drain, unless it is the last."""
        if self.processes_num > 1:
            self.processes_num -= 1
            self._let_leave(cast(_Worker, self.processes.pop()))

    def terminate_all(self) -> None:
        """Order all workers to drain, or to end at once."""
        for process in self.processes:
            cast(_Worker, process).order(self._order)
        for one in self.sockets:
            one.close()

    def join_all(self) -> None:
        """Wait until all workers have ended. A second signal ends them without a goodbye."""
        for process in self.processes:
            while process.process.is_alive():
                process.process.join(LOOK_S)
                self.handle_signals()
            self._forget(cast(_Worker, process))

    def kill_all(self) -> None:
        """Kill the workers that are still there, after an error of the supervisor."""
        for process in self.processes:
            if process.process.is_alive():
                process.kill()
                process.join()

    def _started(self) -> _Worker:
        worker = _Worker(self.config, self.sockets)
        worker.start()
        return worker

    def _let_leave(self, worker: _Worker) -> None:
        """Let a worker drain, and wait for it, or until all have to stop."""
        worker.terminate()
        while worker.process.is_alive():
            worker.process.join(LOOK_S)
            self.handle_signals()
            if self.should_exit.is_set():
                self.processes.append(worker)  # it is waited for with the others
                return
            self.keep_subprocess_alive()
        self._forget(worker)

    def _stop(self, number: int, order: bytes) -> None:
        if self.should_exit.is_set():
            for process in self.processes:
                cast(_Worker, process).interrupt()
            return
        self.exit_code = SIGNAL_EXIT + number
        self._order = order
        self.should_exit.set()

    def _forget(self, worker: _Worker) -> None:
        if worker.pid is not None:
            remove_process(worker.pid)
