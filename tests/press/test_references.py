"""The papers and this book, as they are to be cited: found, and the same in all places."""

import re
import tomllib

import yaml
from pybtex.database import parse_file, parse_string

from kdlib.study.setting import ROOT

PAPERS = parse_file(ROOT / "book/references.bib").entries
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
FIVE = ("reskd", "sakd", "mvd", "d3d", "pretext")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def plain(title):
    return re.sub(r"[{}]", "", title)


def test_every_paper_can_be_found():
    places = {"url", "doi", "eprint"}
    assert [
        key for key, paper in PAPERS.items() if not places & {*map(str.lower, paper.fields)}
    ] == []


def test_the_five_papers_are_cited_alike_everywhere():
    taught = {plain(PAPERS[key].fields["title"]): PAPERS[key] for key in FIVE}
    cited = {each["title"]: each for each in CITATION["references"]}
    assert cited.keys() == taught.keys()
    for title, paper in taught.items():
        (identifier,) = cited[title]["identifiers"]
        assert identifier["value"] == f"arXiv:{paper.fields['eprint']}"
        assert str(cited[title]["year"]) == paper.fields["year"]
        families = [person["family-names"] for person in cited[title]["authors"]]
        assert families == [" ".join(person.last_names) for person in paper.persons["author"]]


def test_the_book_can_be_cited_by_bibtex():
    text = (ROOT / "book/references.md").read_text(encoding="utf-8")
    assert "(references.bib)" in text
    (block,) = re.findall(r"```bibtex\n(.*?)```", text, re.DOTALL)
    ((_, entry),) = parse_string(block, "bibtex").entries.items()
    assert plain(entry.fields["title"]) == CITATION["title"]
    assert entry.fields["note"] == f"Version {CITATION['version']}"
    assert entry.fields["year"] == str(CITATION["date-released"])[:4]


def test_what_is_said_of_the_code_is_what_the_project_says():
    assert (CITATION["version"], CITATION["license"]) == (PROJECT["version"], PROJECT["license"])
    holder = re.search(r"Copyright \(c\) \d+ (.*)", (ROOT / "LICENSE").read_text())[1]
    assert [author["name"] for author in CITATION["authors"]] == [holder]
