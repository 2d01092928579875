"""The page that `fedmpi report` makes of real runs: well-formed, self-contained, complete, and within any screen."""
import argparse
import html.parser
import json
import math
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

from program import Program

JOB = """\
[run]
name = "made_up"
rounds = 4
threads = 1
[federation]
clients = 6
on_client_failure = "drop"
min_fit_clients = 1
[model]
name = "logistic"
num_labels = 3
[data]
name = "synthetic"
num_labels = 3
train_examples = 300
test_examples = 90
partition = { name = "dirichlet", alpha = 0.5 }
[training]
batch_size = 16
optimizer = "sgd"
learning_rate = 0.1
"""
VOID = {"meta", "path", "wbr"}


class Page(html.parser.HTMLParser):
    """Every element is closed in order; nothing is fetched from anywhere; charts have words."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.charts, self.tags = [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        self.text = " ".join(self.texts)
        ElementTree.fromstring(self.source)  # as XML too
        for forbidden in ("http:", "https:", "url(", "@import", "src=", "javascript:", "//"):
            assert forbidden not in self.source, forbidden

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open.append(tag)
        named = dict(attributes)
        assert tag not in ("script", "link", "img", "iframe", "object", "base"), tag
        assert not [name for name in named if name.startswith("on") or name in ("src", "href", "srcset")], attributes
        if tag == "svg":
            assert named.get("aria-hidden") == "true" or (named.get("role") == "img" and named["aria-label"]), attributes
            self.charts += [named["aria-label"]] if "role" in named else []

    def handle_startendtag(self, tag, attributes):
        assert tag in VOID, f"<{tag}/> is no empty element in HTML"
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> within {self.open}"
        self.open.pop()

    def handle_data(self, data):
        if data.strip() and self.open[-1] != "style":
            self.texts.append(data.strip())


def page_of(program, *runs, name="page.html"):
    program("report", *runs, "-o", name)
    return Page(program.directory / name)


def one_run(program):
    program.run("one")
    page = page_of(program, "one")
    last = program.rounds("one")[-1]
    for number in (last["fit"]["loss"], last["evaluate"]["loss"], last["evaluate"]["accuracy"], last["evaluate"]["f1"],
                   last["central"]["loss"], last["central"]["accuracy"], last["central"]["f1"]):
        assert page.texts.count(f"{number:.4f}") >= 1, number
    for text in (last["digest"], last["digest"][:12], f"{last['tokens_per_second']:,.0f}", "4 of 4 rounds", "made_up",
                 "No client failed in any round."):
        assert text in page.texts, text
    for row in last["central"]["confusion"]:
        for count in row:
            assert str(count) in page.texts, count
    for client in json.loads((program.directory / "one/partition.json").read_text(encoding="utf-8"))["clients"]:
        assert ", ".join(f"{label}: {count}" for label, count in client["labels"].items()) in page.texts, client
    assert (program.directory / "one/job.toml").read_text(encoding="utf-8").strip() in page.texts
    for chart in ("Accuracy", "Loss", "F1", "Time by phase", "Who has what"):
        assert chart in page.texts, chart
    for axis in ("round", "accuracy", "loss", "seconds a round", "training examples", "label", "client"):
        assert axis in page.texts, axis
    again = page.source
    assert page_of(program, "one").source == again, "the same run gives another page"


def several_runs(program):
    """Three strategies and two seeds: the means are those of the statistics module."""
    runs = []
    for strategy in ("fedavg", "fedprox"):
        for seed in (1, 2, 3):
            runs.append(f"{strategy}-{seed}")
            program.run(runs[-1], f"strategy.name={strategy}", f"run.seed={seed}", f"run.rounds={3 + (seed == 3)}")
    page = page_of(program, *runs, name="sweep.html")
    facts = json.loads(program("report", *runs, "--json").stdout)
    assert facts["keys"] == ["strategy.name"], facts["keys"]
    assert [job["runs"] for job in facts["jobs"]] == [[0, 1, 2], [3, 4, 5]]
    for job, strategy in zip(facts["jobs"], ("fedavg", "fedprox")):
        assert job["differs"] == {"strategy.name": strategy}
        for source, quantity in (("central", "accuracy"), ("central", "loss"), ("evaluate", "accuracy"), ("fit", "loss")):
            values = [program.rounds(runs[i])[3][source][quantity] for i in job["runs"]]
            mean, deviation = statistics.fmean(values), statistics.stdev(values)
            found = job[f"{source}.{quantity}"]
            assert found["round"] == 3, "the newest that all have"
            assert math.isclose(found["mean"], mean, rel_tol=1e-12), (found, mean)
            assert math.isclose(found["standard_deviation"], deviation, rel_tol=1e-9, abs_tol=1e-15), (found, deviation)
            assert f"{mean:.4f} ±\u00a0{deviation:.4f}" in page.texts, (mean, deviation)
    for i, run in enumerate(runs):
        assert facts["runs"][i]["newest"] == program.rounds(run)[-1]
        assert run in page.texts and f"strategy.name={run.split('-')[0]}, run.seed={run[-1]}" in page.texts
    for chart in ("Central accuracy", "Evaluate accuracy", "Central loss", "Evaluate loss", "Fit loss", "Time by phase"):
        assert chart in page.texts, chart
    assert page.texts.count("strategy.name=fedprox") >= 6
    assert len(page.source) < 500_000, len(page.source)


def failures(program):
    """A client fails in every round from the second, another once; what they say is not markup."""
    lines = program.rounds("one")
    shutil.copytree(program.directory / "one", program.directory / "failing")
    for line in lines[2:]:
        line["failures"], line["failed"] = 1, [{"client": 3, "reason": "<b>no</b> memory & \"more\""}]
    lines[4]["failures"] += 1
    lines[4]["failed"].append({"client": 5, "reason": "the loss is not a number"})
    lines[4]["fit"]["loss"] = None
    write_rounds(program, "failing", lines)
    page = page_of(program, "failing")
    for text in ("4 fits failed.", "<b>no</b> memory & \"more\"", "2–4", "the loss is not a number", "NaN"):
        assert text in page.texts, text
    assert "<b>no" not in page.source


def hostile_names(program):
    """A directory's name, and a key and a value that only this run's job has."""
    name, value = "<script>alert(1)<&amp;'", "</pre><script>alert(2)</script>"
    shutil.copytree(program.directory / "one", program.directory / name)
    job = program.directory / name / "job.toml"
    text = job.read_text(encoding="utf-8")
    assert text.count("[model]\n") == 1
    job.write_text(text.replace("[model]\n", f'[model]\n"<i>" = "{value}\u202e"\n'), encoding="utf-8")
    page = page_of(program, name)
    assert name in page.texts and value in page.text
    page = page_of(program, name, "one")
    assert name in page.texts and f'model."<i>"={value}\ufffd' in page.texts, page.texts
    for source in (page.source, page_of(program, name).source):
        assert "<script" not in source and "<i>" not in source and "</pre><" not in source


def write_rounds(program, run, lines, end="\n"):
    text = "\n".join(json.dumps(line) for line in lines) + end
    (program.directory / run / "metrics.jsonl").write_text(text, encoding="utf-8")


def unfinished(program):
    """A run of which a round, its beginning or half a line is there."""
    program.run("stopped", "run.rounds=100000", "run.max_seconds=0.5", expected=3)
    page = page_of(program, "stopped")
    assert "of 100,000 rounds" in page.text and "the run goes on, or was stopped" in page.text
    done = program.run("broken", "training.learning_rate=1e38", "federation.on_client_failure=abort", expected=1)
    page = page_of(program, "broken")
    sentence = done.stderr.strip().splitlines()[-1].removeprefix("fedmpi: ")
    assert "was ended by an error" in page.text and sentence in page.text, (sentence, page.text)
    lines = program.rounds("one")
    shutil.copytree(program.directory / "one", program.directory / "begun")
    write_rounds(program, "begun", lines[:2], end='\n{"round": 2, "dig')
    page = page_of(program, "begun")
    assert "1 of 4 rounds" in page.texts and "middle of a line" in page.text
    write_rounds(program, "begun", lines[:1])
    page_of(program, "begun")
    (program.directory / "begun/metrics.jsonl").write_text("", encoding="utf-8")
    assert "no round of 4 yet" in page_of(program, "begun").texts
    page_of(program, "begun", "one")
    program("report", "begun", "one", "--json")


def many_rounds(program):
    """Ten thousand rounds, a thousand clients: a page of bearable size."""
    shutil.copytree(program.directory / "one", program.directory / "long")
    lines = [made_up_round(number) for number in range(10_001)]
    write_rounds(program, "long", lines)
    job = program.directory / "long/job.toml"
    job.write_text(re.sub("rounds = 4", "rounds = 10000", job.read_text(encoding="utf-8")), encoding="utf-8")
    clients = [{"client": i, "train_examples": 45, "test_examples": 0, "tokens": 45,
                "labels": {str(i % 7): 40, str(10 + i % 50): 5}} for i in range(1000)]
    (program.directory / "long/partition.json").write_text(json.dumps({"clients": clients}), encoding="utf-8")
    page = page_of(program, "long")
    assert "10,000 of 10,000 rounds" in page.texts and "10,000" in page.texts
    assert f"{lines[-1]['central']['accuracy']:.4f}" in page.texts and lines[-1]["digest"] in page.texts
    assert len(page.source) < 300_000, len(page.source)


def made_up_round(number):
    share = 1 - 1 / (1 + number / 500)
    return {"round": number, "digest": f"{number:032x}", "clients": 10, "failures": 0, "fit": {"loss": 2 - share},
            "evaluate": {"loss": 2 - 0.9 * share, "accuracy": 0.8 * share + 0.01 * abs(math.sin(number))},
            "central": {"loss": 2 - 0.8 * share, "accuracy": 0.9 * share},
            "seconds": {"broadcast": 0.01, "fit": 1.0 + number % 7, "aggregate": 0.1, "evaluate": 0.5, "checkpoint": 0.05,
                        "total": 9.0}, "tokens_per_second": 1e4, "bytes_sent": 10**9, "peak_rss_bytes": 10**9}


def bad_input(program):
    """One sentence, exit status 2, no page, and nothing replaced that is no report."""
    directory = program.directory
    output = directory / "bad.html"

    def refused(sentence, *arguments):
        before = sorted(directory.rglob("*"))
        done = program("report", *arguments, expected=2)
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("fedmpi: ") and not done.stdout, done.stderr
        assert sentence in done.stderr, f"{sentence!r} is not in {done.stderr!r}"
        assert sorted(directory.rglob("*")) == before, "something was written"
        print("   ", done.stderr.strip()[:160])

    def damaged(name, text, sentence):
        shutil.rmtree(directory / "bad", ignore_errors=True)
        shutil.copytree(directory / "one", directory / "bad")
        path = directory / "bad" / name
        path.unlink()
        if text is not None:
            path.write_text(text, encoding="utf-8", errors="surrogateescape")
        refused(sentence, "bad", "-o", output)
        refused(sentence, "one", "bad", "--json")

    refused("runs is required", "-o", output)
    refused("there is no nowhere: name the directory of a run", "nowhere", "-o", output)
    refused("is not a directory", "job.toml", "-o", output)
    (directory / "empty").mkdir()
    refused("empty has no job.toml: name the directory of a run", "empty", "-o", output)
    refused("given twice", "one", "one/", "-o", output)
    for name in ("job.toml", "partition.json"):
        damaged(name, None, f"bad has no {name}")
    damaged("job.toml", "[run", "bad/job.toml:1:")
    damaged("job.toml", "[run]\nnmae = 1\n", "bad/job.toml:2:1: [run] has no key 'nmae'")
    good = (directory / "one/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    damaged("metrics.jsonl", "{}\n", "bad/metrics.jsonl: line 1 is damaged (")
    damaged("metrics.jsonl", good[0] + "\n\n", "bad/metrics.jsonl: line 2 is damaged (")
    damaged("metrics.jsonl", good[1] + "\n" + good[0] + "\n", "line 2 is damaged (round 0 is not after the one before): bring the file back, or leave this run out")
    damaged("metrics.jsonl", good[1].replace('"fit":', '"fit":-', 1) + "\n", "line 1 is damaged (")
    damaged("metrics.jsonl", re.sub('"total":', '"total":-', good[1]) + "\n", "seconds.total is no time")
    damaged("metrics.jsonl", good[1].replace('"digest":"', '"digest":"<') + "\n", "the digest is none")
    damaged("metrics.jsonl", "\udcff\x1b[31m\n", "line 1 is damaged (")
    damaged("job.toml", '[run]\n"\\u001b[31m" = 1\n', "[run] has no key '\ufffd[31m'")
    damaged("partition.json", "", "bad/partition.json: is damaged (after 0 clients")
    damaged("partition.json", '{"clients": [7]}', "bad/partition.json: is damaged")
    shutil.rmtree(directory / "bad/log")
    (directory / "bad/partition.json").unlink()
    os.mkfifo(directory / "bad/partition.json")
    refused("partition.json: is not a file", "bad", "-o", output)
    shutil.rmtree(directory / "bad")
    (directory / "several/a").mkdir(parents=True)
    shutil.copy(directory / "one/job.toml", directory / "several/a")
    refused("several holds runs and is none: name them, as in several/*", "several", "-o", output)
    refused("is there already and is no report", "one", "-o", "one/metrics.jsonl")
    refused("is there already and is no report", "one", "-o", "one")
    refused("could not be written, there is no directory no/such: make it", "one", "-o", "no/such/place.html")
    refused("--json", "one", "--json", "-o", output)


def too_many_jobs(program):
    runs = []
    for i in range(29):
        runs.append(f"many-{i}")
        shutil.copytree(program.directory / "one", program.directory / runs[-1])
        job = program.directory / runs[-1] / "job.toml"
        job.write_text(job.read_text(encoding="utf-8").replace("learning_rate = 0.1", f"learning_rate = 0.{100 + i}"), encoding="utf-8")
    assert "29 different jobs" in program("report", *runs, expected=2).stderr
    assert len(json.loads(program("report", *runs, "--json").stdout)["jobs"]) == 29
    page = page_of(program, *runs[:28])
    assert "training.learning_rate=0.127" in page.texts


def within_the_screen(program):
    """In Chromium: nothing is wider than a phone's or a desktop's window, folded or with every part unfolded. On a desktop the
    tables that compare runs need not be scrolled either."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        return print("skipped: within_the_screen needs chromium")
    sweep = [f"{strategy}-{seed}" for strategy in ("fedavg", "fedprox") for seed in (1, 2, 3)]
    program("run", "job.toml", "--sweep", "strategy.name=fedavg,fedprox", "--sweep", "training.learning_rate=0.1,0.05", "--sweep",
            "seed=1,2", "--output", "runs/compared")
    keys = sorted(str(path.relative_to(program.directory)) for path in (program.directory / "runs/compared").iterdir())
    assert len(keys) == 8, keys
    pages = {}
    for runs in (["one"], ["long"], ["failing"], sweep, keys):
        pages[f"{len(runs)} runs, {runs[0]}"] = page = page_of(program, *runs).source
        pages[f"{len(runs)} runs, {runs[0]}, unfolded"] = page.replace("<details", "<details open")
    pages["too wide"] = page.replace("<main>", '<main><div style="width:350px;height:1px"></div>')
    seen = overflow(chromium, program.directory, list(pages.values()))
    assert len(seen) == len(pages) * 4, len(seen)
    for found in seen:
        name, width = list(pages)[found["page"]], found["width"]
        assert found["client"] == width, (name, found)
        if name == "too wide":
            assert bool(found["outside"]) == (found["scroll"] > width) == (width == 320), ("the probe is wrong", found)
        else:
            assert found["scroll"] <= width and not found["outside"], (name, found)
        if width == 1280 and name in (f"{len(sweep)} runs, {sweep[0]}", f"{len(keys)} runs, {keys[0]}"):
            assert not found["scrolled"], (name, found)
        if width == 390 and name == f"{len(keys)} runs, {keys[0]}":
            assert found["scrolled"] > 0, ("the probe is wrong", found)


# A window of Chromium's is not narrower than 500 pixels; a frame in it is.
PROBE = """<!DOCTYPE html><meta charset="utf-8"><body><script>
const pages = %s, results = [], total = pages.length * 4;
for (const index in pages) for (const width of [320, 390, 768, 1280]) {
  const frame = document.createElement("iframe");
  frame.style = `border:0;width:${width}px;height:2000px`;
  frame.onload = () => {
    const root = frame.contentDocument.documentElement, outside = [];
    for (const one of root.querySelectorAll("body *")) {
      // A table or a job's text scrolls within its place; what is drawn in a chart stays in its frame.
      if (one.getBoundingClientRect().right > root.clientWidth + 0.5 && !one.closest(".scroll, pre") && !one.closest("svg svg, svg *"))
        outside.push(one.tagName + "." + one.className);
    }
    const scrolled = [...root.querySelectorAll(".scroll")].filter(one => one.scrollWidth > one.clientWidth + 1).length;
    results.push({page: Number(index), width, scrolled, client: root.clientWidth, scroll: Math.max(root.scrollWidth, frame.contentDocument.body.scrollWidth), outside});
    if (results.length < total) return;
    const out = document.createElement("pre");
    out.id = "found";
    out.textContent = JSON.stringify(results);
    document.body.append(out);
  };
  frame.srcdoc = pages[index];
  document.body.append(frame);
}
</script></body>"""


def overflow(chromium, directory, pages):
    # In a frame a page may not forbid what frames are made of.
    pages = [re.sub(r"<meta http-equiv[^>]*>", "", page) for page in pages]
    probe = directory / "probe.html"
    probe.write_text(PROBE % json.dumps(pages).replace("</", "<\\/"), encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run([chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                               f"--user-data-dir={profile}", "--window-size=1400,2200", "--hide-scrollbars",
                               "--dump-dom", probe.as_uri()],
                              timeout=300, text=True, capture_output=True, check=False)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout)
    assert found, f"Chromium answered nothing: {done.stderr[-2000:]}"
    return json.loads(found.group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    program = Program(parser.parse_args(), "report")
    (program.directory / "job.toml").write_text(JOB, encoding="utf-8")
    for check in (one_run, several_runs, failures, hostile_names, unfinished, many_rounds, bad_input, too_many_jobs,
                  within_the_screen):
        check(program)
        print(f"{check.__name__}: as it should be", flush=True)


if __name__ == "__main__":
    sys.exit(main())
