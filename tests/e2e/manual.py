"""What `fedmpi manual` writes: whole, well-formed, and what the program itself says; and the pages beside it."""
import argparse
import json
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def output(*command, **more):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, timeout=60, **more).stdout


def verbs(fedmpi, *path):
    """All paths of verbs, as --help lists them."""
    text = output(fedmpi, *path, "--help")
    below = text.split("Subcommands:")[1].split("\n\n")[0] if "Subcommands:" in text else ""
    found = re.findall(r"^  (\w+) ", below, flags=re.M)
    return [(*path, name) for name in found] + [deeper for name in found for deeper in verbs(fedmpi, *path, name)]


def keys(fedmpi):
    listing = json.loads(output(fedmpi, "plugins", "--json"))
    for section in listing["sections"]:
        for option in section["options"]:
            yield section["name"], option
    for part in (*listing["rules"], *listing["plugins"]):
        for option in part["options"]:
            yield part["name"], option


def page_has_everything(fedmpi):
    page = output(fedmpi, "manual", "page")
    plain = page.replace("\\-", "-").replace("\\e", "\\")
    found = verbs(fedmpi)
    assert ("run",) in found and ("prepare", "csv") in found, found
    for path in found:
        assert f".SS fedmpi {' '.join(path)}\n" in plain, path
        for option in re.findall(r"--[a-z][a-z-]+", output(fedmpi, *path, "--help").split("Examples")[0]):
            assert option in plain, f"{path}: {option}"
    listing = json.loads(output(fedmpi, "plugins", "--json"))
    for section in listing["sections"]:
        for option in section["options"]:
            assert f"\\fB{option['name']} (" in plain and option["help"] in plain, option
    for tool, flags in (("mandoc", ("-Tlint", "-Wwarning")), ("groff", ("-man", "-ww", "-z"))):
        if shutil.which(tool):
            done = subprocess.run([tool, *flags], input=page, text=True, capture_output=True, timeout=60, check=False)
            assert not done.stderr and done.returncode == 0, f"{tool}: {done.stderr}{done.stdout}"
            print(f"{tool} has nothing to say against the page")


def keys_page_is_the_one_in_the_tree(fedmpi):
    page = output(fedmpi, "manual", "keys")
    for name, option in keys(fedmpi):
        assert f"| `{option['name']}` | {option['type']} |" in page, (name, option)
    kept = (ROOT / "jobs" / "keys.md").read_text(encoding="utf-8")
    assert page == kept, "jobs/keys.md is not what the program says: fedmpi manual keys > jobs/keys.md"


def completed(fedmpi, line):
    words = line.split(" ")
    script = output(fedmpi, "manual", "completion") + """
compopt() { :; }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_fedmpi
printf '%s\\n' "${COMPREPLY[@]}"
"""
    return output("bash", "-c", script, "bash", *words).split()


def completion_completes(fedmpi):
    assert completed(fedmpi, "fedmpi ru") == ["run"]
    assert set(completed(fedmpi, "fedmpi prepare ")) == {"imdb", "csv", "tsv", "jsonl", "--help"}
    assert "--sweep" in completed(fedmpi, "fedmpi run job.toml --s")
    assert not completed(fedmpi, "fedmpi run ") + completed(fedmpi, "fedmpi run job.toml --output ")  # then bash offers files
    assert completed(fedmpi, "fedmpi run job.toml --set training.learning_rate") == ["training.learning_rate=",
                                                                                    "training.learning_rate_schedule="]
    assert completed(fedmpi, "fedmpi run job.toml --set see") == ["seed="]
    assert completed(fedmpi, "fedmpi run job.toml --sweep strategy.proximal") == ["strategy.proximal_mu="]
    assert completed(fedmpi, "fedmpi check job.toml --set data.partition.al") == ["data.partition.alpha="]
    assert set(completed(fedmpi, "fedmpi run job.toml --set model.lora_")) == {"model.lora_alpha=", "model.lora_rank=",
                                                                               "model.lora_targets="}
    listing, offered = json.loads(output(fedmpi, "plugins", "--json")), completed(fedmpi, "fedmpi run job.toml --set ")
    for plugin in listing["plugins"]:
        section = "data" if plugin["kind"] == "dataset" else plugin["kind"]
        for option in plugin["options"]:
            assert offered.count(f"{section}.{option['name']}=") == 1, (plugin["name"], option["name"])
    assert "--label" in completed(fedmpi, "fedmpi prepare csv --")
    assert "--label" not in completed(fedmpi, "fedmpi prepare imdb --")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    fedmpi = str(pathlib.Path(parser.parse_args().fedmpi).resolve())
    for check in (page_has_everything, keys_page_is_the_one_in_the_tree, completion_completes):
        check(fedmpi)
        print(f"{check.__name__}: passed", flush=True)


if __name__ == "__main__":
    main()
