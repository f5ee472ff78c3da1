"""What tests share: hypothesis profiles, a mirror of MNIST, the lessons once run."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pooch
import pytest
from data import tiny, write_idx
from hypothesis import Phase, settings
from mirror import RAW, SERVED, Mirror, sha256
from small_runs import begin

from numpyvae import figures
from numpyvae.datasets import mnist
from numpyvae.training.workers import Workers

if TYPE_CHECKING:
    from lessons.builder.run import Run

# The same examples on every run and machine. They are small from the start, and to
# shrink them would make a wrong gradient take minutes to be told.
settings.register_profile(
    "exact",
    derandomize=True,
    deadline=None,
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
)
# For the run without the JIT, and those of .ci/matrix.py.
settings.register_profile("few", settings.get_profile("exact"), max_examples=5)
settings.load_profile("exact")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs all lessons to be run is slow."""
    for item in items:
        if "built" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow("runs all lessons"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture
def workers() -> Iterator[Workers]:
    """The caller's thread alone."""
    with Workers(1) as one:
        yield one


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths asked of the server, in order."""
    paths: list[str] = []
    monkeypatch.setattr(Mirror, "requests", paths, raising=False)
    return paths


@pytest.fixture
def server(requests: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server whose mirror /good/ is the only one in the table."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(mnist, "SCHEME", "http://")
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=lambda _: None))
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as listener:
        thread = Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{listener.server_port}"
        monkeypatch.setattr(mnist, "MIRRORS", (f"{address}/good/",))
        yield address
        listener.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where downloads go, not made yet; the table holds the small files."""
    monkeypatch.delenv("NUMPYVAE_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    table = {
        name: mnist.Download(
            len(SERVED[f"{name}.gz"]), sha256(SERVED[f"{name}.gz"]), sha256(raw)
        )
        for name, raw in RAW.items()
    }
    monkeypatch.setattr(mnist, "DOWNLOADS", table)
    return tmp_path / "numpyvae" / "mnist"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the data in three/, where nothing is drawn."""
    write_idx(tmp_path / "three", tiny())
    monkeypatch.chdir(tmp_path)
    for name in figures.__all__:
        monkeypatch.setattr(figures, name, lambda *_: None)
    return tmp_path


@pytest.fixture
def two_epochs(house: Path) -> Path:
    """A finished run of two epochs in `house`, r."""
    assert begin("--epochs 2 --out r") == 0
    return house / "r"


@dataclass(frozen=True)
class Built:
    """The lessons' runs by number, and the folder of the site made from them."""

    runs: "dict[str, Run]"
    site: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """All lessons, run at small sizes with warnings as errors, and their site."""
    from lessons.builder.run import run
    from lessons.builder.script import read
    from lessons.builder.site import write_site

    folder = Path(__file__).parents[1] / "lessons"
    lessons = [read(path) for path in sorted(folder.glob("[0-9][0-9]_*.py"))]
    site = tmp_path_factory.mktemp("site")
    figures = site / "figures"
    figures.mkdir()
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv("NUMPYVAE_FAST", "1")
        patch.setenv("PYTHONWARNINGS", "error")
        runs = list(pool.map(lambda lesson: run(lesson, figures), lessons))
    write_site(lessons, runs, folder / "ERRATA.md", site)
    return Built({each.lesson.number: each for each in runs}, site)
