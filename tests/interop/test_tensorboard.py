"""RUN/tensorboard as the tensorboard package reads it: curves, HParams tab, resumed runs."""

import json
import os
import signal
import subprocess
import time

import pandas
import pytest
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import (api_pb2, backend_context, list_session_groups,
                                         plugin_data_pb2)

from paths import tool

CURVES = {"train/loss": "train_loss", "train/accuracy": "train_accuracy",
          "val/accuracy": "val_accuracy", "val/loss": "val_loss", "learning_rate": "learning_rate"}


def command(tiny, run, *options):
    return [str(a) for a in [tool("trainer"), "run", "--train", tiny["train"], "--val", tiny["val"],
                             "--test", tiny["test"], "--run", run, "--target", "corner", "--quiet",
                             "--warmup-epochs", "1", "--rank", "4", *options]]


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("board") / "run"
    subprocess.run(command(tiny, path, "--epochs", "4", "--method", "last,linear", "--seed", "0,1",
                           "--learning-rate", "1e-2,1e38", "--retrain", "train+val",
                           "--retrain-seeds", "3"), check=True, stdout=subprocess.DEVNULL)
    return path


def curves(run, network):
    accumulator = EventAccumulator(str(run / "tensorboard" / f"network-{network}"))
    accumulator.Reload()
    return {tag: accumulator.Scalars(tag) for tag in accumulator.Tags()["scalars"]}


def expected_points(run, network, key):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["epoch"], pytest.approx(line[key], rel=1e-6)) for line in lines
            if line["network"] == network and line[key] is not None]


def hparams_data(folder):
    """{kind: message} of the plugin's events in the one event file of a folder."""
    files = [path for path in folder.iterdir() if path.is_file()]
    assert len(files) == 1
    found = {}
    for event in EventFileLoader(str(files[0])).Load():
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                data = plugin_data_pb2.HParamsPluginData.FromString(
                    value.metadata.plugin_data.content)
                kind = data.WhichOneof("data")
                assert kind not in found and value.tag == f"_hparams_/{kind}"
                found[kind] = getattr(data, kind)
    return found


def test_curves_are_those_of_metrics_jsonl(run):
    table = pandas.read_csv(run / "networks.csv")
    assert set(table.stage) == {"search", "retrain"} and "diverged" in set(table.status)
    for row in table.itertuples():
        points = curves(run, row.network)
        for tag, key in CURVES.items():
            got = [(point.step, point.value) for point in points.get(tag, [])]
            assert got == expected_points(run, row.network, key), (row.network, tag)
        test = [(point.step, point.value) for point in points.get("test/accuracy", [])]
        measured = not pandas.isna(row.test_accuracy)
        assert test == ([(row.epochs, pytest.approx(row.test_accuracy, rel=1e-6))]
                        if measured else [])
        times = [point.wall_time for point in points["learning_rate"]]
        assert times == sorted(times)
        assert times[-1] - (run / "config.json").stat().st_mtime == pytest.approx(row.seconds,
                                                                                 abs=0.01)


def test_the_hparams_tab_has_every_option_of_the_grid(run):
    experiment = hparams_data(run / "tensorboard")["experiment"]
    names = {info.name: info.type for info in experiment.hparam_infos}
    assert {info.name.tag for info in experiment.metric_infos} == {
        "train/loss", "train/accuracy", "val/accuracy", "val/loss", "test/accuracy"}
    table = pandas.read_csv(run / "networks.csv")
    groups = {}
    for row in table.itertuples():
        data = hparams_data(run / "tensorboard" / f"network-{row.network}")
        values = data["session_start_info"].hparams
        assert set(values) <= set(names)
        for name, value in values.items():
            kind = value.WhichOneof("kind")
            wanted = getattr(row, name)
            if kind == "bool_value":
                wanted = wanted == "on"
            assert getattr(value, kind) == wanted, name
            assert names[name] == {"string_value": api_pb2.DATA_TYPE_STRING,
                                   "bool_value": api_pb2.DATA_TYPE_BOOL,
                                   "number_value": api_pb2.DATA_TYPE_FLOAT64}[kind]
        assert ("rank" in values) == (row.method == "last")
        assert data["session_end_info"].status == (
            api_pb2.STATUS_FAILURE if row.status == "diverged" else api_pb2.STATUS_SUCCESS)
        groups.setdefault(data["session_start_info"].group_name, []).append(row.seed)
    # Seeds of a setting are one group; what was retrained is another.
    assert sorted(groups.values()) == [[0, 1]] * 4 + [[3]] * 2


def test_the_plugin_itself_finds_settings_and_accuracies(run):
    """What the HParams tab asks TensorBoard for: groups of seeds, their options and last values."""
    files = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(run / "tensorboard"))
    files.Reload()
    provider = data_provider.MultiplexerDataProvider(files, str(run))
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = api_pb2.ListSessionGroupsRequest(slice_size=100, include_metrics=True, allowed_statuses=[
        api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE])
    request.col_params.add(hparam="learning_rate")
    request.col_params.add(metric=api_pb2.MetricName(tag="test/accuracy"))
    handler = list_session_groups.Handler(context.RequestContext(), backend, "", request)
    table = pandas.read_csv(run / "networks.csv")
    found = {}
    for group in handler.run().session_groups:
        networks = [int(session.name.removeprefix("network-")) for session in group.sessions]
        rows = table[table.network.isin(networks)]
        assert set(rows.learning_rate) == {group.hparams["learning_rate"].number_value}
        assert set(rows.stage) == {group.hparams["stage"].string_value}
        accuracy = [metric.value for metric in group.metric_values if metric.name.tag == "test/accuracy"]
        tested = rows.test_accuracy.dropna()
        assert accuracy == ([pytest.approx(tested.mean(), rel=1e-6)] if len(tested) else [])
        found[tuple(sorted(rows.seed))] = found.get(tuple(sorted(rows.seed)), 0) + 1
    assert found == {(0, 1): 4, (3,): 2}


def test_a_resumed_run_has_no_point_twice(tiny, tmp_path):
    options = ["--epochs", "400", "--seed", "0,1,2"]
    run = tmp_path / "run"
    metrics = run / "metrics.jsonl"
    for kill in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(command(tiny, run, *options), stdout=subprocess.DEVNULL)
        before = metrics.stat().st_size if metrics.exists() else 0
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            if metrics.exists() and metrics.stat().st_size > before + 4000:
                break
            time.sleep(0.01)
        process.send_signal(kill)
        process.wait()
    assert not (run / "networks.csv").exists()
    # What it left is readable, too.
    steps = [point.step for point in curves(run, 1).get("train/loss", [])]
    assert steps == sorted(set(steps))
    subprocess.run(command(tiny, run, *options), check=True, stdout=subprocess.DEVNULL)
    for network in range(3):
        points = curves(run, network)["train/loss"]
        assert [point.step for point in points] == list(range(1, 401))
        assert [(point.step, point.value) for point in points] == expected_points(
            run, network, "train_loss")
    assert len(os.listdir(run / "tensorboard")) == 4  # three networks and the root's file
    cost = json.loads((run / "cost.json").read_text())
    assert cost["sessions"] == 2  # the killed one could not say what it cost
    assert cost["seconds"] > 0 and cost["peak_memory_bytes"] > 2 ** 20
