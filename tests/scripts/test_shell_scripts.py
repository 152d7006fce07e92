"""The shell scripts' options and messages, with a stand-in for everything that changes a system."""

import os
import shutil
import subprocess

import pytest
from repository import ROOT

SCRIPTS = ("setup.sh", "build.sh", "demo.sh", "test.sh", "slurm_sweep.sh")


def run(script, *options, **environment):
    return subprocess.run(["bash", str(script), *options], capture_output=True, text=True,
                          env={**os.environ, **environment}, cwd="/")


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_and_unknown_options(script):
    result = run(ROOT / "scripts" / script, "--help")
    assert result.returncode == 0
    assert f"scripts/{script}" in result.stdout
    assert "set -euo" not in result.stdout
    result = run(ROOT / "scripts" / script, "--nonsense")
    assert result.returncode == 2
    assert "--nonsense" in result.stderr


class System:
    """A copy of the scripts, and a folder of commands that stand before the real ones."""

    def __init__(self, folder):
        self.folder = folder
        self.commands = folder / "commands"
        self.commands.mkdir()
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        self.command("nvidia-smi", "exit 1")

    def command(self, name, body):
        path = self.commands / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def setup(self, *options):
        return run(self.folder / "scripts" / "setup.sh", *options,
                   PATH=f"{self.commands}:{os.environ['PATH']}")


@pytest.fixture
def system(tmp_path):
    return System(tmp_path)


def test_setup_without_root_prints_the_command(system):
    system.command("dpkg-query", '[[ ${!#} == libisal-dev ]] || echo -n installed')
    system.command("id", "echo 1000")
    system.command("sudo", "exit 1")
    result = system.setup("--slim")
    assert result.returncode == 1
    assert result.stderr.rstrip().endswith(
        "sudo apt-get update && sudo apt-get install --no-install-recommends libisal-dev")


def test_setup_installs_what_is_missing_and_full_wants_more(system):
    log = system.folder / "log"
    system.command("dpkg-query", "exit 1")
    system.command("id", "echo 0")
    system.command("apt-get", f'echo "$@" >>{log}; [[ $1 == update ]]')
    for level in ("--slim", "--full"):
        result = system.setup(level)
        assert result.returncode == 1
        assert "apt-get could not install" in result.stderr
    slim, full = [line for line in log.read_text().splitlines() if "install" in line]
    assert "libhdf5-dev" in slim and "libgtest-dev" not in slim
    assert "libhdf5-dev" in full and "libgtest-dev" in full


def test_setup_without_root_goes_on_without_optional_packages(system):
    fake_python(system)
    system.command("dpkg-query", '[[ ${!#} == ccache || ${!#} == git ]] || echo -n installed')
    system.command("id", "echo 1000")
    system.command("sudo", "exit 1")
    assert system.setup("--slim").returncode == 0
    # With root they are wanted, but a failure to install them ends nothing.
    log = system.folder / "log"
    system.command("id", "echo 0")
    system.command("apt-get", f'echo "$@" >>{log}; exit 1')
    result = system.setup("--slim")
    assert result.returncode == 0, result.stderr
    assert "ccache git" in log.read_text() and "Going on without ccache git" in result.stderr


def test_setup_goes_on_where_there_is_no_browser_to_install(system):
    fake_python(system)
    log = system.folder / "log"
    system.command("dpkg-query", '[[ ${!#} == chromium ]] || echo -n installed')
    system.command("id", "echo 0")
    system.command("apt-cache", "exit 1")  # no package of that name
    system.command("apt-get", f'echo "$@" >>{log}; exit 1')
    assert system.setup("--full").returncode == 0
    assert not log.exists()
    system.command("apt-cache", "exit 0")
    result = system.setup("--full")
    assert result.returncode == 0, result.stderr
    assert "chromium" in log.read_text() and "Going on without chromium: " in result.stderr
    log.unlink()
    assert system.setup("--slim").returncode == 0 and not log.exists()


def test_setup_on_another_system(system):
    fake_python(system)
    (system.commands / "dpkg-query").unlink()
    for tool in ("bash", "basename", "cat", "chmod", "cp", "cut", "dirname", "env", "id", "mkdir",
                 "rm", "sed", "sha256sum"):
        (system.commands / tool).symlink_to(shutil.which(tool))
    for tool in ("cmake", "g++", "ninja"):
        system.command(tool, "exit 0")
    setup = system.folder / "scripts" / "setup.sh"
    result = run(setup, "--slim", PATH=str(system.commands))
    assert result.returncode == 0, result.stderr
    assert "what corresponds to: ca-certificates" in result.stderr
    (system.commands / "ninja").unlink()
    result = run(setup, "--slim", PATH=str(system.commands))
    assert result.returncode == 1
    assert "ninja is missing" in result.stderr and "libhdf5-dev" in result.stderr


def unit_tests(system, **environment):
    """test.sh --unit, where nothing but the formatting is checked."""
    for name in ("build.sh", "setup.sh"):
        (system.folder / "scripts" / name).write_text("#!/bin/bash\n")
    for name in ("shellcheck", "ctest"):
        system.command(name, "exit 0")
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(["bash", system.folder / "scripts" / "test.sh", "--unit"],
                          stdin=subprocess.PIPE, capture_output=True, text=True, timeout=20,
                          env={**inherited, "GIT_CEILING_DIRECTORIES": str(system.folder.parent),
                               "PATH": f"{system.commands}:{os.environ['PATH']}", **environment})


@pytest.mark.parametrize("checkout", [True, False])
def test_formatting_of_what_is_there(system, checkout):
    log = system.folder / "log"
    system.command("clang-format-14", f'[[ $1 != --version ]] || {{ echo version 14.; exit; }}; '
                                      f'echo "$@" >>{log}; [[ $# -gt 2 ]] || cat')
    (system.folder / "here.cpp").write_text("")
    (system.folder / "gone.cpp").write_text("")
    if checkout:
        for command in (["init", "-q"], ["add", "."]):
            subprocess.run(["git", *command], cwd=system.folder, check=True)
    (system.folder / "gone.cpp").unlink()
    result = unit_tests(system)
    assert result.returncode == 0, result.stderr
    if checkout:
        assert log.read_text().split() == ["--dry-run", "--Werror", "here.cpp"]
    else:
        assert not log.exists()
        assert "not a git repository" in result.stderr and "takes a git checkout" in result.stderr
        assert unit_tests(system, CI="1").returncode == 1 and not log.exists()


def test_continuous_integration_takes_clang_format(system):
    for name in ("clang-format-14", "clang-format"):
        system.command(name, "echo version 15.")
    result = unit_tests(system)
    assert result.returncode == 0 and "takes clang-format 14" in result.stderr, result.stderr
    result = unit_tests(system, CI="1")
    assert result.returncode == 1 and "test.sh: error: " in result.stderr, result.stderr
    assert "takes clang-format 14" in result.stderr


def test_a_fuzz_target_that_fails_is_named(system):
    for name in ("build.sh", "setup.sh"):
        (system.folder / "scripts" / name).write_text("#!/bin/bash\n")
    for target in ("one", "two"):
        (system.folder / "tests/fuzz/corpus" / target).mkdir(parents=True)
        program = system.folder / "build-fuzz/bin" / f"fuzz_{target}"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/bash\necho said by {target}\n[[ {target} == one ]]\n")
        program.chmod(0o755)
    result = run(system.folder / "scripts" / "test.sh", "--fuzz")
    assert result.returncode != 0
    assert "test.sh: error: fuzz_two failed" in result.stderr and "said by two" in result.stderr
    assert "said by one" not in result.stderr


def test_cdpath_leads_nowhere_else(system):
    log = fake_python(system)
    result = subprocess.run(["bash", "scripts/setup.sh", "--slim"], capture_output=True, text=True,
                            cwd=system.folder, check=False,
                            env={**os.environ, "CDPATH": str(system.folder),
                                 "PATH": f"{system.commands}:{os.environ['PATH']}"})
    assert result.returncode == 0, result.stderr
    assert log.exists() and (system.folder / ".venv").is_dir()


def test_setup_names_the_package_for_an_incomplete_python(system):
    system.command("dpkg-query", "echo -n installed")
    system.command("python3", '[[ $2 != *ensurepip* ]]')
    result = system.setup("--slim")
    assert result.returncode == 1
    assert "python3-venv" in result.stderr


def fake_python(system):
    """python3 -m venv makes a .venv whose python only writes down how pip is called."""
    log = system.folder / "pip.log"
    inner = system.folder / "inner"
    inner.write_text(f'#!/bin/bash\n[[ $3 != install ]] || echo "$@" >>{log}\n')
    inner.chmod(0o755)
    venv = system.folder / ".venv"
    system.command("python3", f'[[ $2 != venv ]] || {{ mkdir -p {venv}/bin; '
                              f'cp {inner} {venv}/bin/python; }}')
    system.command("dpkg-query", "echo -n installed")
    return log


def test_setup_is_idempotent_and_upgrades(system):
    log = fake_python(system)
    for level, calls in (("--slim", 1), ("--slim", 1), ("--full", 2), ("--full", 2),
                         ("--slim", 2)):
        result = system.setup(level)
        assert result.returncode == 0, result.stderr
        assert len(log.read_text().splitlines()) == calls
    slim, full = log.read_text().splitlines()
    assert "--no-deps" in slim and "requirements-slim.txt" in slim
    assert "--no-deps" not in full and "requirements-full.txt" in full


def test_setup_takes_full_where_there_is_a_gpu(system):
    log = fake_python(system)
    # Long enough that a reader which stops at the first match breaks the pipe.
    system.command("nvidia-smi", 'echo "GPU 0: a card"; for i in {1..20000}; do echo "GPU $i" || '
                                 'exit 1; done')
    assert system.setup().returncode == 0
    assert "requirements-full.txt" in log.read_text()


def test_setup_notices_changed_requirements(system):
    log = fake_python(system)
    system.setup("--slim")
    with open(system.folder / "scripts" / "requirements-slim.txt", "a") as file:
        file.write("h5py==3.16.0\n")
    system.setup("--slim")
    assert len(log.read_text().splitlines()) == 2
