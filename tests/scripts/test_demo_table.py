"""The demonstration's table: chosen on validation images, printed from test images."""

import subprocess
import sys

from repository import ROOT

HEADER = "network,method,target,parameters,val_accuracy,val_loss,test_accuracy,seconds,status\n"


def run(folder):
    command = [sys.executable, str(ROOT / "scripts" / "demo_table.py"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True)


def write_run(folder, lines):
    for method in ("last", "linear"):
        (folder / method).mkdir()
        found = [line for line in lines if line.split(",")[1] == method]
        (folder / method / "networks.csv").write_text(HEADER + "\n".join(found) + "\n")
    (folder / "train.h5").write_bytes(b"0" * 2_000_000)


def test_best_on_val_is_shown_with_its_test_accuracy(tmp_path):
    write_run(tmp_path, ["0,last,position,10,80.0,0.5,71.5,2,ok",
                         "1,last,position,10,79.0,0.5,99.0,2,ok",
                         "2,linear,position,5,40.0,0.5,41.5,1,ok",
                         "3,linear,position,5,90.0,0.5,90.0,1,diverged",
                         "4,last,count,5,50.0,0.5,50.5,1,ok"])
    result = run(tmp_path)
    assert result.returncode == 0, result.stderr
    words = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line}
    assert words["position"] == ["position", "41.5", "%", "71.5", "%", "+30.0"]
    assert words["count"] == ["count", "-", "50.5", "%", "-"]
    assert "4 networks trained in 6 s" in result.stdout
    assert "2 MB in 1 files" in result.stdout


def test_ties_go_to_the_lower_loss(tmp_path):
    write_run(tmp_path, ["0,last,shape,10,80.0,0.5,1.0,1,ok",
                         "1,last,shape,20,80.0,0.4,2.0,1,ok"])
    assert "2.0 %" in run(tmp_path).stdout


def test_then_to_fewer_parameters_then_to_the_earlier(tmp_path):
    write_run(tmp_path, ["0,last,shape,20,80.0,0.5,1.0,1,ok",
                         "1,last,shape,10,80.0,0.5,2.0,1,ok",
                         "2,last,shape,10,80.0,0.5,3.0,1,ok"])
    assert "2.0 %" in run(tmp_path).stdout


def test_no_finished_network_is_an_error(tmp_path):
    write_run(tmp_path, ["0,last,shape,20,,,,1,stopped"])
    result = run(tmp_path)
    assert result.returncode == 1
    assert "no finished network" in result.stderr
