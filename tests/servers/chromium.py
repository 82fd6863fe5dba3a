"""Headless Chromium as the person's browser: BROWSER="python chromium.py".

Completes the login page of servers.issuer, like visitor.py, with a real engine.

VISITOR_USER   the account name
VISITOR_LOG    gets one JSON line per visit
CHROMIUM_SHOTS a folder for screenshots: 1-login.png, 2-landed.png
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--window-size=900,700",
)
PROGRAMS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
DRIVERS = ("/usr/bin/chromedriver", "/usr/lib/chromium/chromedriver")


def _first(paths: tuple[str, ...]) -> str:
    for path in paths:
        if os.access(path, os.X_OK):
            return path
    raise SystemExit(f"none of {', '.join(paths)} is there")


def open_chromium(profile: Path) -> Any:
    """Start a headless Chromium that keeps everything in `profile`."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = _first(PROGRAMS)
    options.accept_insecure_certs = True  # the throwaway authority's
    for flag in FLAGS:
        options.add_argument(flag)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.add_argument(f"--user-data-dir={profile}")
    service = Service(executable_path=_first(DRIVERS), log_output=os.devnull)
    return webdriver.Chrome(options=options, service=service)


def sign_in(url: str, user: str, *, shots: Path | None = None) -> str:
    """Open `url`, send the login form, and return the page where it all ends."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    with tempfile.TemporaryDirectory(prefix="hk-chromium-") as profile:
        driver = open_chromium(Path(profile))
        try:
            driver.set_page_load_timeout(30)
            driver.get(url)
            issuer = driver.current_url.split("/interaction/")[0]
            field = driver.find_element(By.NAME, "login")
            field.clear()
            field.send_keys(user)
            driver.find_element(By.NAME, "password").send_keys("x")
            if shots:
                driver.save_screenshot(str(shots / "1-login.png"))
            driver.find_element(By.NAME, "continue").click()
            WebDriverWait(driver, 20).until(
                lambda d: (
                    not d.current_url.startswith(issuer)
                    and d.execute_script("return document.readyState") == "complete"
                )
            )
            if shots:
                driver.save_screenshot(str(shots / "2-landed.png"))
            return str(driver.page_source)
        finally:
            driver.quit()


def main() -> None:
    url = sys.argv[-1]
    if path := os.environ.get("VISITOR_LOG"):
        line = {"time": time.time(), "pid": os.getpid(), "mode": "chromium", "url": url}
        with open(path, "a") as log:
            log.write(json.dumps(line) + "\n")
    shots = os.environ.get("CHROMIUM_SHOTS")
    sign_in(url, os.environ["VISITOR_USER"], shots=Path(shots) if shots else None)


if __name__ == "__main__":
    main()
