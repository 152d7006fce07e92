"""`trainer report`: the page's data against pandas, hostile names, several runs, what is refused."""

import base64
import html.parser
import io
import json
import re
import shutil
import subprocess

import h5py
import numpy as np
import pandas
import pytest
from PIL import Image

from fake_run import HOSTILE, make_run
from paths import tool
from tiny_stores import draw_images, extract


def report(*arguments, status=0):
    result = subprocess.run([str(a) for a in (tool("trainer"), "report", *arguments)],
                            capture_output=True, text=True, check=False)
    assert result.returncode == status, result.stderr
    return result


class Page(html.parser.HTMLParser):
    """Elements of a page with their attributes and the text inside scripts, styles, title, pre."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.text, self.open = [], {}, None
        self.feed(path.read_text(encoding="utf-8"))
        self.data = json.loads(self.text["data"])

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style", "title", "pre"):
            self.open = dict(attributes).get("id", tag)

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        if self.open:
            self.text[self.open] = self.text.get(self.open, "") + data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("report") / "first", networks=24, classes=5, targets=2,
                    seeds=2, epochs=12, images=400)


@pytest.fixture(scope="module")
def page(run):
    report("--run", run)
    return Page(run / "report.html")


def networks_of(data):
    return pandas.DataFrame(data["networks"], columns=data["columns"])


def test_networks_are_those_of_the_table(run, page):
    table = pandas.read_csv(run / "networks.csv")
    shown = networks_of(page.data["runs"][0])
    assert list(shown.network) == list(table.network)
    names = [t["name"] for t in page.data["runs"][0]["targets"]]
    assert [names[i] for i in shown.target] == list(table.target)
    for column in ("stage", "method", "rank", "gap", "pool", "learning_rate", "weight_decay", "seed",
                   "epochs", "parameters", "train_loss", "val_accuracy", "val_loss", "test_accuracy", "seconds",
                   "status", "train_data", "variant", "biases", "norm"):
        pandas.testing.assert_series_equal(shown[column], table[column], check_dtype=False)


def test_answers_are_the_highest_means_on_val(run, page):
    table = pandas.read_csv(run / "networks.csv")
    ok = table[table.status == "ok"]
    keys = ["rank", "gap", "pool", "learning_rate", "head_learning_rate_scale", "weight_decay"]
    for answer in page.data["runs"][0]["answers"]:
        target = page.data["runs"][0]["targets"][answer["target"]]["name"]
        assert [line["best"] for line in answer["lines"]] == [True, False]
        means = {}
        for line in answer["lines"]:
            rows = ok[(ok.target == target) & (ok.method == line["method"])]
            groups = rows.groupby(keys, dropna=False).val_accuracy.agg(["mean", "count"])
            means[line["method"]] = groups[groups["count"] == 2]["mean"].max()
            chosen = rows[rows.network.isin(line["networks"])]
            assert chosen.val_accuracy.mean() == pytest.approx(means[line["method"]])
            assert line["val"] == pytest.approx(list(chosen.val_accuracy))
            assert line["test"] == pytest.approx(list(chosen.test_accuracy))
        best = answer["lines"][0]["method"]
        assert means[best] == max(means.values())


def test_of_equal_settings_the_chosen_one_comes_first(tmp_path):
    """Rounded to 5 percent, so that several settings have the best accuracy."""
    run = make_run(tmp_path / "run", networks=48, seeds=2, epochs=3, images=20, retrain=True, ties=True)
    text = report("--run", run).stdout.split('Ranking for "label" by validation accuracy, then loss')[1].splitlines()
    shown = Page(run / "report.html").data["runs"][0]
    table = networks_of(shown)
    searched = pandas.read_csv(run / "networks.csv").query("stage == 'search'")
    pandas.testing.assert_series_equal(table.val_loss[searched.index], searched.val_loss)
    settings = searched.assign(place=table.place, setting=table.setting).groupby("setting").agg(
        place=("place", "first"), places=("place", "nunique"), val=("val_accuracy", "mean"), loss=("val_loss", "mean"),
        parameters=("parameters", "first"), network=("network", "first"),
        ok=("status", lambda status: (status == "ok").all()))
    assert (settings.places == 1).all() and table.place[len(searched):].isna().all()
    expected = settings[settings.ok].sort_values(["val", "loss", "parameters", "network"],
                                                 ascending=[False, True, True, True])
    assert (expected.val == expected.val.iloc[0]).sum() > 1  # there are ties
    assert list(expected.place) == list(range(1, len(expected) + 1))
    best = shown["answers"][0]["lines"][0]
    assert best["best"] and best["setting"] == expected.index[0]
    head, first = text[1], text[2]
    assert expected.index[0] in first
    at = head.index("val loss")
    assert first[at:].split()[0] == f"{expected.loss.iloc[0]:.4f}"


def test_curves_are_those_of_metrics_jsonl(run, page):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    curves = page.data["runs"][0]["curves"]
    assert len(curves) == len({line["network"] for line in lines})
    for line in lines:
        curve = curves[str(line["network"])]
        at = curve["epoch"].index(line["epoch"])
        for name, key in (("val", "val_accuracy"), ("loss", "train_loss"),
                          ("accuracy", "train_accuracy")):
            expected = line[key] if line[key] is None else pytest.approx(line[key], rel=1e-4)
            assert curve[name][at] == expected


def test_mistakes_are_those_of_predictions_csv(run, page):
    shown = page.data["runs"][0]
    assert len(shown["predictions"]) == 4  # two targets, the best network and the linear probe
    for predictions in shown["predictions"]:
        target = shown["targets"][predictions["target"]]
        names = target["class_names"]
        table = pandas.read_csv(run / f"predictions.{target['name']}.csv")
        table = table[table.network == predictions["network"]]
        assert predictions["images"] == predictions["labelled"] == len(table) == 400
        assert predictions["data"] == "test"
        counts = table.groupby(["label", "prediction"]).size()
        assert {(names[l], names[p]): n for l, p, n in predictions["confusion"]} == dict(counts)
        wrong = table[table.label != table.prediction].sort_values("label_probability",
                                                                   kind="stable")[:24]
        assert [sample["path"] for sample in predictions["worst"]] == list(wrong.path)
        assert [names[sample["prediction"]] for sample in predictions["worst"]] == list(
            wrong.prediction)


def test_the_page_needs_nothing_else(run, page):
    text = (run / "report.html").read_text(encoding="utf-8")
    policy = [a["content"] for tag, a in page.elements
              if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policy) == 1 and "default-src 'none'" in policy[0]
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base")
        assert not {"src", "href"} & set(attributes), (tag, attributes)
    # The only address is the name space of SVG, which is no address at all.
    assert set(re.findall(r"https?://[^\s\"')]*", text)) == {"http://www.w3.org/2000/svg"}
    assert "import " not in page.text["script"] and "fetch(" not in page.text["script"]
    assert "innerHTML" not in text and "{{" not in text


def test_hostile_names_stay_text(tmp_path):
    run = make_run(tmp_path / "<i>&run", networks=4, classes=9, epochs=3, images=200, hostile=True)
    plain = make_run(tmp_path / "plain", networks=4, classes=9, epochs=3, images=200)
    report("--run", run)
    report("--run", plain)
    page = Page(run / "report.html")
    tags = [tag for tag, _ in page.elements]
    assert tags == [tag for tag, _ in Page(plain / "report.html").elements]
    assert page.text["title"].startswith("LAST report: <i>&run")
    assert page.data["runs"][0]["targets"][0]["class_names"] == HOSTILE
    paths = {sample["path"] for p in page.data["runs"][0]["predictions"] for sample in p["worst"]}
    assert any("<script>" in path for path in paths)


def test_several_runs_and_out(run, tmp_path):
    other = make_run(tmp_path / "second", networks=1, classes=2, epochs=3, no_linear=True,
                     indices=True, images=50)
    out = tmp_path / "both.html"
    result = report("--run", f"{run},{other}", "--out", out)
    assert "Run first" in result.stdout and "Run second" in result.stdout
    assert str(out) in result.stderr and not (other / "report.html").exists()
    page = Page(out)
    assert [r["name"] for r in page.data["runs"]] == ["first", "second"]
    assert page.data["runs"][1]["targets"][0] == {"name": "label", "classes": 2, "class_names": None}


def test_tables_on_standard_output(tmp_path):
    run = make_run(tmp_path / "run", networks=36, seeds=2, retrain=True, images=50)
    text = report("--run", run, "--quiet").stdout
    table = pandas.read_csv(run / "networks.csv")
    retrained = table[(table.stage == "retrain") & (table.method == "last")]
    accuracy = f"{retrained.test_accuracy.mean():.2f} +- {retrained.test_accuracy.std():.2f}"
    chosen, ranking = text.split("Ranking")
    assert accuracy in chosen and "train+val" in chosen
    assert "10 of " in ranking and "1.2 GiB" in ranking
    rate = float(re.search(r"([\d.]+) networks per minute", ranking).group(1))
    assert rate == pytest.approx(60 * len(table) / table.seconds.sum(), abs=0.05)
    page = Page(run / "report.html")
    best = page.data["runs"][0]["answers"][0]["lines"][0]
    assert best["networks"] == list(retrained.network) and best["val"] == []
    searched = table[(table.stage == "search") & table.network.isin(best["chosen_from"])]
    assert len(searched) == 2
    assert searched.val_accuracy.mean() == pytest.approx(
        table[(table.stage == "search") & (table.method == "last") & (table.status == "ok")]
        .groupby(["rank", "gap", "pool", "learning_rate", "head_learning_rate_scale",
                  "weight_decay"]).val_accuracy.mean().max())
    assert page.text["pre"].strip() == text.strip()


@pytest.mark.parametrize("seconds, rate", [(90, "0.67"), (1800, "0.033")])
def test_the_rate_of_slow_networks(tmp_path, seconds, rate):
    run = make_run(tmp_path / "run", networks=6, epochs=2, images=20)
    table = pandas.read_csv(run / "networks.csv", dtype=str).assign(seconds=seconds)
    table.to_csv(run / "networks.csv", index=False)
    assert f", {rate} networks per minute" in report("--run", run, "--quiet").stdout


def test_ensembles(tmp_path):
    run = make_run(tmp_path / "run", networks=24, targets=2, epochs=3, images=50, ensembles=True)
    text = report("--run", run, "--quiet").stdout
    assert text.count("ensemble of 8, 7 different networks") == 2
    table = pandas.read_csv(run / "ensembles.csv")
    networks = pandas.read_csv(run / "networks.csv").set_index("network")
    for answer, row in zip(Page(run / "report.html").data["runs"][0]["answers"], table.itertuples()):
        line = answer["lines"][-1]
        assert line["method"] == "ensemble" and line["networks_in_mean"] == 8 and not line["best"]
        assert (line["val"], line["test"]) == ([row.val_accuracy], [row.test_accuracy])
        members = {int(member) for member in row.members.split(";")}
        assert len(members) == 7
        assert line["parameters"] == networks.parameters[list(members)].sum()
        assert f"{row.test_accuracy:.2f}" in text
    for name in ("label", "shape"):
        shown = Page(run / "report.html").data["runs"][0]
        own = [p for p in shown["predictions"] if shown["targets"][p["target"]]["name"] == name]
        assert [p["method"] for p in own] == ["last", "linear", "ensemble"]
        assert own[-1]["network"] is None and own[-1]["labelled"] == 50
        table = pandas.read_csv(run / f"ensemble_predictions.{name}.csv")
        right = sum(n for l, p, n in own[-1]["confusion"] if l == p)
        assert right == (table.label == table.prediction).sum() > 0
    (run / "ensembles.csv").write_text((run / "ensembles.csv").read_text().replace(";", ";9"))
    assert "networks of networks.csv" in report("--run", run, status=1).stderr


def test_pandas_reads_the_table_as_it_is(tiny, tmp_path):
    run = tmp_path / "run"
    subprocess.run([str(a) for a in (
        tool("trainer"), "run", "--train", tiny["train"], "--val", tiny["val"], "--run", run,
        "--epochs", "1", "--warmup-epochs", "0", "--rank", "4", "--method", "last,linear", "--norm",
        "none,frozen", "--learning-rate", "1e-3,1e38", "--quiet")], check=True, capture_output=True)
    table = pandas.read_csv(run / "networks.csv")
    kinds = table.dtypes.map(lambda dtype: dtype.kind)
    for column in ("network", "seed", "epochs", "parameters", "parameters_without_head"):
        assert kinds[column] == "i", column
    for column in ("rank", "gap", "learning_rate", "head_learning_rate_scale", "weight_decay",
                   "label_smoothing", "train_loss", "val_accuracy", "test_accuracy", "seconds"):
        assert kinds[column] in "fi", column
    for column, values in (("stage", {"search"}), ("method", {"last", "linear"}),
                           ("target", {"corner", "colour"}), ("norm", {"none", "frozen"}),
                           ("pool", {"mean-patch"}), ("status", {"ok", "diverged"}),
                           ("train_data", {"train"})):
        assert set(table[column]) == values, column
    assert table.test_accuracy.isna().all() and table[table.method == "linear"].variant.isna().all()
    best = table.sort_values("val_accuracy").groupby("target").last()
    assert (best.val_accuracy > 0).all()


def test_without_validation_nothing_is_called_best(tmp_path):
    run = make_run(tmp_path / "run", networks=12, epochs=3, no_val=True)
    assert "--val" in report("--run", run).stdout
    shown = Page(run / "report.html").data["runs"][0]
    assert shown["answers"][0]["lines"] == [] and not shown["has_val"]
    assert len(shown["answers"][0]["warnings"]) == 2
    assert shown["predictions"] == []


def test_long_curves_are_thinned(tmp_path):
    run = make_run(tmp_path / "run", networks=1, classes=2, epochs=1000, no_linear=True, images=10)
    report("--run", run)
    curve = Page(run / "report.html").data["runs"][0]["curves"]["0"]
    assert len(curve["epoch"]) <= 202 and curve["epoch"][0] == 1 and curve["epoch"][-1] == 1000


def test_a_real_run(tiny, tmp_path):
    run = tmp_path / "run"
    subprocess.run([str(a) for a in (
        tool("trainer"), "run", "--train", tiny["train"], "--val", tiny["val"], "--run", run,
        "--epochs", "4", "--warmup-epochs", "1", "--rank", "4", "--method", "last,linear",
        "--retrain", "train+val", "--retrain-seeds", "5", "--quiet")], check=True,
        capture_output=True)
    report("--run", run)
    shown = Page(run / "report.html").data["runs"][0]
    table = pandas.read_csv(run / "networks.csv")
    # Retrained networks have seen val: predictions on it are of the networks chosen there.
    for predictions in shown["predictions"]:
        row = table[table.network == predictions["network"]].iloc[0]
        assert row.stage == "search" and predictions["data"] == "val"
        right = sum(n for l, p, n in predictions["confusion"] if l == p)
        assert 100 * right / predictions["labelled"] == pytest.approx(row.val_accuracy)
    assert shown["cost"]["peak_memory_bytes"] > 2 ** 20
    assert "cpu" in shown["machine"] and ["program", "trainer 0.1.0"] in shown["facts"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("small") / "run", networks=3, classes=3, epochs=2,
                    images=20)


def test_pictures_of_the_worst_images(tiny, tmp_path):
    images = draw_images(tmp_path, "train", 48, 3)
    store = extract(tiny["weights"], images, tmp_path / "train.h5", "--thumbnails")
    run = tmp_path / "run"
    options = [str(a) for a in (tool("trainer"), "run", "--train", store, "--run", run, "--target",
                                "corner", "--epochs", "1", "--warmup-epochs", "0", "--rank", "4",
                                "--batch-size", "16", "--quiet")]
    subprocess.run([*options, "--val-fraction", "0.5"], check=True, capture_output=True)
    report("--run", run)
    with h5py.File(store) as file:
        ids = [name.decode() for name in file["sample_id"][:]]
        pictures = file["thumbnails"][:]
    worst = Page(run / "report.html").data["runs"][0]["predictions"][0]["worst"]
    assert worst
    for sample in worst:
        kind, encoded = sample["thumbnail"].split(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
            assert picture.format == "PNG"
            np.testing.assert_array_equal(np.asarray(picture), pictures[ids.index(sample["path"])])
    # A damaged picture is left out; the others stay.
    damaged = worst[0]["path"]
    with h5py.File(store) as file:
        offset = file["thumbnails"].id.get_offset() + ids.index(damaged) * pictures[0].size
    with open(store, "r+b") as file:
        file.seek(offset)
        file.write(bytes([pictures[ids.index(damaged)].flat[0] ^ 1]))
    assert f'no picture of "{damaged}"' in report("--run", run).stderr
    pictured = [sample for sample in Page(run / "report.html").data["runs"][0]["predictions"][0]["worst"]
                if "thumbnail" in sample]
    assert [s["path"] for s in pictured] == [s["path"] for s in worst if s["path"] != damaged]
    # Other data under the store's name: no pictures rather than wrong ones.
    store.unlink()
    extract(tiny["weights"], draw_images(tmp_path / "other", "train", 48, 4), store, "--thumbnails")
    report("--run", run)
    worst = Page(run / "report.html").data["runs"][0]["predictions"][0]["worst"]
    assert worst and not any("thumbnail" in sample for sample in worst)
    store.unlink()
    report("--run", run)


def damage(small, tmp_path, name, text):
    run = tmp_path / "run"
    shutil.copytree(small, run)
    path = run / name
    path.write_text(text(path.read_text()) if callable(text) else text)
    return report("--run", run, status=1).stderr


@pytest.mark.parametrize("name, text, message", [
    ("networks.csv", lambda t: t.replace("mean-patch", "somewhere"), "column pool"),
    ("networks.csv", lambda t: t.replace("\n0,search", "\nzero,search"), ":2: column network"),
    ("networks.csv", lambda t: t.replace(",ok,", ",fine,"), "column status"),
    ("networks.csv", lambda t: t.replace(",label,", ",other,"), "column target"),
    ("networks.csv", lambda t: t.replace("val_accuracy", "val"), 'no column "val_accuracy"'),
    ("networks.csv", lambda t: t + "1,2\n", "2 fields"),
    ("networks.csv", "", "empty"),
    ("networks.csv", lambda t: t.splitlines()[0] + "\n", "lists no network"),
    ("config.json", "{", "config.json"),
    ("config.json", "{}", "config.json"),
    ("metrics.jsonl", "{}\n", "metrics.jsonl"),
    ("predictions.label.csv", lambda t: t.replace("red forest", "red herring"), "column"),
    ("cost.json", "[", "cost.json"),
])
def test_damage_is_named(small, tmp_path, name, text, message):
    error = damage(small, tmp_path, name, text)
    assert message in error and error.count("\n") == 1 and error.startswith("trainer: error: ")


def test_what_is_no_finished_run(tmp_path):
    assert "no such directory" in report("--run", tmp_path / "none", status=1).stderr
    assert "holds no run" in report("--run", tmp_path, status=1).stderr
    (tmp_path / "config.json").write_text("{}")
    assert "not finished" in report("--run", tmp_path, status=1).stderr
    assert "--run is missing" in report(status=2).stderr
