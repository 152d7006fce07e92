"""What `trainer run` shows while it trains: on a terminal, in a log file, and with --quiet."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

import pyte
import pytest

from trainer_runs import command

ENDLESS = ["--epochs", "1000000", "--learning-rate", "1e-3,1e38", "--method", "last,linear",
           "--threads", "1"]
PATIENCE = 120  # seconds; far more than it takes on a slow machine


class Terminal:
    """A program on a pseudo-terminal of a given size, and the screen it sees."""

    processes = []  # of the test

    def __init__(self, arguments, rows=24, columns=100):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(arguments, stdin=slave, stdout=slave, stderr=slave,
                                        env={**os.environ, "TERM": "xterm"})
        self.processes.append(self.process)
        os.close(slave)
        self.master = master

    def read(self):
        """False at the end."""
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:  # the program closed its side
            return False
        self.stream.feed(data)
        return bool(data)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def wait_for(self, pattern):
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.text()):
            assert time.monotonic() < end and self.read(), self.text()
        return self.text()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        while self.read():
            pass
        os.close(self.master)
        return self.process.wait()


@pytest.fixture
def endless(tiny, tmp_path):
    yield command(tiny, tmp_path / "run", *ENDLESS)
    for process in Terminal.processes:  # after a failed test the run would go on for good
        process.kill()
        process.wait()
    Terminal.processes.clear()


def test_a_terminal_shows_the_state_in_place(endless):
    terminal = Terminal(endless)
    # Three settings of each target go on; the fourth diverges at once.
    terminal.wait_for(r"(?s)diverged.*steps/s.*corner +best val.*colour +best val")
    for _ in range(20):  # frames are drawn over each other
        assert terminal.read()
    screen = terminal.text()
    assert len(re.findall(r"epoch \d+ of 1000000", screen)) == 1, screen
    assert re.search(r"search +\[#*-+\] epoch \d+ of 1000000", screen), screen
    assert re.search(r"\d of 8 networks, [1-4] diverged, [\d.]+ steps/s, .* left", screen), screen
    assert len(re.findall(r"corner +best val +\d+\.\d\d % +network \d: (last|linear) ", screen)) == 1
    assert len(re.findall(r"colour +best val", screen)) == 1
    assert "search: 8 networks in 2 banks" in screen  # messages stay above
    assert terminal.interrupt() == 4
    screen = terminal.text()
    assert "interrupted by Ctrl-C" in screen and "run the same command again" in screen
    assert "best val" not in screen  # the message stands in its place


def test_lines_that_do_not_fit_are_cut(endless):
    terminal = Terminal(endless, rows=4, columns=40)
    terminal.wait_for(r"search +\[")
    for _ in range(20):
        assert terminal.read()
    shown = [line for line in terminal.screen.display if line.startswith("search  [")]
    assert len(shown) == 1, terminal.text()
    assert terminal.interrupt() == 4


def test_a_log_file_gets_a_line_every_few_seconds(endless):
    process = subprocess.Popen(endless, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pattern = re.compile(r"^search: epoch \d+ of 1000000, \d of 8 networks, \d diverged, [\d.]+ "
                         r"steps/s, .* left, corner best val [\d.]+ %, colour best val [\d.]+ %$")
    seen = []
    for line in process.stderr:
        assert "\033" not in line and "\r" not in line
        seen.append(line)
        if pattern.match(line.rstrip("\n")):
            break
    else:
        pytest.fail("no line of progress: " + "".join(seen))
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate()
    assert process.returncode == 4 and "run the same command again" in rest


def seconds_of(text):
    hours, minutes, seconds = re.fullmatch(r"(?:(\d+) h )?(?:(\d+) min ?)?(?:([\d.]+) s)?", text).groups()
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds or 0)


@pytest.mark.parametrize("search, part", [("grid", 1), ("halving", 0.12 + 0.33 / 3 + 0.55 / 9)])
def test_the_remaining_time_knows_what_will_stop(endless, search, part):
    process = subprocess.Popen([*endless, "--search", search], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        shown = re.search(r"([\d.]+) steps/s, (.*) left", line)
        if shown:
            break
    process.send_signal(signal.SIGINT)
    process.communicate()
    all_steps = 1000000 * (96 // 16)
    assert float(shown[1]) * seconds_of(shown[2]) == pytest.approx(part * all_steps, rel=0.06)


def test_quiet_shows_nothing(endless):
    short = ["3" if word == "1000000" else word for word in endless]
    terminal = Terminal([*short, "--quiet"])
    while terminal.read():
        pass
    assert terminal.process.wait() == 0
    os.close(terminal.master)
    text = terminal.text()
    assert "networks" not in text and "epoch" not in text, text
    assert text.startswith("Best setting by validation accuracy:"), text
