"""What all tests share. The tests never reach the network, and they test the package of this clone."""

import os
import signal
import socket
from pathlib import Path

import pytest
import torch

import ddpm_lib
from ddpm_lib.data import load_images
from ddpm_lib.schedule import NoiseSchedule, linear_betas

CLONE = Path(__file__).resolve().parent.parent
ROOT = Path(os.environ.get("DDPM_WORKSPACE", CLONE))  # whose ddpm_lib is tested: the grader sets a learner's workspace
assert Path(ddpm_lib.__file__).resolve().parent == ROOT.resolve() / "ddpm_lib", (
    f"another ddpm_lib is in the way: {ddpm_lib.__file__}"
)

# in a shell's background job Ctrl-C is ignored, by the children too: no test could press it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def local_only(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def garments():
    """The first 64 training images, `(64, 1, 28, 28)`."""
    return load_images(limit=64)[0]


@pytest.fixture
def schedule():
    return NoiseSchedule(linear_betas(1000))


@pytest.fixture(scope="session")
def browser():
    """The Chromium found on the machine, or Playwright's own. With neither, tests that need it are skipped, unless
    DDPM_REQUIRE_BROWSER is set, as it is in CI."""
    sync_api = pytest.importorskip("playwright.sync_api")
    from course.browser import launch

    with sync_api.sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except sync_api.Error as error:
            if "DDPM_REQUIRE_BROWSER" in os.environ:
                raise
            why = error.message.splitlines()[0]
            pytest.skip(f"no Chromium: install it, or run `.venv/bin/playwright install chromium` ({why})")
        yield browser
        browser.close()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)
