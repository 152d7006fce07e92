"""The report's page in a browser: what its script makes of runs of several sizes, on a phone and a laptop."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from fake_run import make_run
from paths import missing, tool

HEADLESS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--allow-file-access-from-files", "--enable-logging=stderr", "--window-size=1400,2000",
            "--virtual-time-budget=4000", "--dump-dom"]
WIDTHS = (390, 1280)
RUNS = {
    "1 network": dict(networks=1, classes=2, no_linear=True, epochs=8, images=200),
    "36 networks": dict(networks=36, classes=10, targets=2, seeds=2, epochs=8, retrain=True, ensembles=True, ties=True),
    "500 networks": dict(networks=500, classes=397, epochs=4, retrain=True, images=1000),
}
SECTIONS = ["Answer", "Ranking", "Learning curves", "Effect of each hyper-parameter", "Confusion",
            "Worst-classified images", "Cost", "How it was made"]

# Looks into a page that stands in a frame, and uses it: sorts the ranking, opens what is folded, picks another target.
LOOK = """
function look(page) {
  const main = page.querySelector('main'), root = page.documentElement;
  const ranking = [...page.querySelectorAll('section')].find((s) => s.querySelector('h2').textContent === 'Ranking');
  const column = (name) => {
    const heads = [...ranking.querySelectorAll('th')];
    const at = heads.findIndex((th) => th.textContent === name);
    heads[at].querySelector('button').click();
    return [...ranking.querySelectorAll('tbody tr')].map((row) => row.children[at].textContent);
  };
  const found = {
    sections: [...page.querySelectorAll('h2')].map((h) => h.textContent),
    rows: ranking.querySelectorAll('tbody tr').length,
    first: ranking.querySelector('tbody tr').className,
    curves: [...page.querySelectorAll('svg path')].map((p) => (p.getAttribute('d') || '').split('M').length - 1)
      .reduce((a, b) => a + b, 0),
    losses: [column('train loss'), column('train loss')],
  };
  const more = [...ranking.querySelectorAll('button')].find((b) => b.textContent.startsWith('Show all'));
  if (more) more.click();
  found.all = ranking.querySelectorAll('tbody tr').length;
  page.querySelectorAll('details').forEach((d) => { d.open = true; });
  found.cut = [...page.querySelectorAll('.scroll')].filter((s) => s.scrollWidth > s.clientWidth + 1)
    .map((s) => s.getAttribute('aria-label'));
  found.text = main.innerText;
  found.overflow = root.scrollWidth - root.clientWidth;
  for (const select of page.querySelectorAll('select')) {
    select.selectedIndex = select.options.length - 1;
    select.dispatchEvent(new Event('change'));
  }
  found.text += page.querySelector('main').innerText;
  found.sections_of_last = [...page.querySelectorAll('h2')].map((h) => h.textContent);
  return found;
}
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Shows a page: (its final HTML, what the browser said)."""
    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if program is None:
        missing("no chromium (scripts/setup.sh --full installs Debian's): the page's script is not executed")
    profile = tmp_path_factory.mktemp("profile")

    def show(address, check=True, more=()):
        return subprocess.run([program, *HEADLESS, f"--user-data-dir={profile}", *more, address],
                              capture_output=True, timeout=300, check=check, encoding="utf-8")

    if "<html" not in show("about:blank", check=False).stdout:
        missing(f"{program} does not run here: the page's script is not executed")
    return show


def look(browser, folder, page):
    """What LOOK finds at each width, and what the browser said of scripts."""
    frames = "".join(f'<iframe src="{page.as_uri()}" style="width:{width}px;height:900px;border:0"></iframe>'
                     for width in WIDTHS)
    (folder / "wrap.html").write_text(f"""<!DOCTYPE html><body>{frames}<pre id="found"></pre><script>{LOOK}
window.onload = () => setTimeout(() => {{  // charts are drawn in the first frames
  const all = [...document.querySelectorAll('iframe')].map((frame) => look(frame.contentDocument));
  document.getElementById('found').textContent = JSON.stringify(all);
}}, 500);</script>""", encoding="utf-8")
    result = browser((folder / "wrap.html").as_uri())
    said = [line for line in result.stderr.splitlines() if ":CONSOLE" in line]
    text = re.search(r'<pre id="found">(.*?)</pre>', result.stdout, re.DOTALL).group(1)
    assert text, "\n".join(said)
    return dict(zip(WIDTHS, json.loads(html.unescape(text)))), said


@pytest.fixture(scope="module", params=RUNS)
def seen(request, browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    run = make_run(folder / "run", **RUNS[request.param])
    subprocess.run([tool("trainer"), "report", "--run", run, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    found, said = look(browser, folder, run / "report.html")
    return RUNS[request.param], found, said


def test_no_script_fails(seen):
    assert seen[2] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_all_is_there_and_fits(seen, width):
    options, found = seen[0], seen[1][width]
    sections = [name for name in SECTIONS if options["networks"] > 1 or not name.startswith("Effect")]
    assert found["sections"] == sections
    assert set(found["sections_of_last"]) >= set(sections) - {"Worst-classified images"}
    assert found["overflow"] <= 0
    if width >= 1280:
        assert found["cut"] == []
    assert re.findall(r"NaN|undefined|\[object|Infinity|\bnull\b", found["text"]) == []
    assert found["curves"] >= options["networks"] // options.get("targets", 1)


def test_the_ranking_sorts_and_unfolds(seen):
    options, found = seen[0], seen[1][1280]
    assert found["first"] == "chosen"  # also where several settings have its accuracy
    settings = options["networks"] // (options.get("seeds", 1) * options.get("targets", 1))
    retrained = 2 if options.get("retrain") else 0
    assert found["rows"] == min(20, settings + retrained) and found["all"] == settings + retrained
    descending, ascending = ([float(text) for text in texts if text != "–"] for texts in found["losses"])
    assert descending == sorted(descending, reverse=True) and ascending == sorted(ascending)
    if settings > 1:
        assert descending[0] > ascending[0]


@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_dark_where_one_likes_it_dark(browser, tmp_path, width):
    """Screenshots: little light in the dark one, much in the other, and text that stands out in both."""
    run = make_run(tmp_path / "run", networks=12, epochs=4, images=200)
    subprocess.run([tool("trainer"), "report", "--run", run, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    for scheme, number in (("dark", 0), ("light", 1)):
        picture = tmp_path / f"{scheme}.png"
        browser((run / "report.html").as_uri(), more=[f"--screenshot={picture}", f"--window-size={width},2000",
                                                      f"--blink-settings=preferredColorScheme={number}"])
        pixels = np.asarray(Image.open(picture).convert("L"))
        usual, rows = float(np.median(pixels)), np.percentile(pixels, (1, 99))
        assert usual < 60 if scheme == "dark" else usual > 200, (scheme, usual)
        assert (rows[1] if scheme == "dark" else 255 - rows[0]) > 100, (scheme, rows)
