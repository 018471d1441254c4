"""A service as a process of its own, with a small model, for tests that ask it over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import tifffile

import vitascope
from tests_support import blobs, make_model, save_model

CODE = "from vitascope.cli.main import app; app()"
FAST = {"model": "test-model", "precision": "f32", "tile_px": 512, "threads": 1, "min_contrast": 0, "device": "cpu"}


def make_field(path, gain=1000):
    sizes = {f"PhysicalSize{a}": 0.5 for a in "XY"} | {f"PhysicalSize{a}Unit": "µm" for a in "XY"}
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, (200 + gain * blobs()).astype(np.uint16), ome=True, metadata={"axes": "YX", **sizes})
    return path


class Server:
    """Starts, asks and ends a service."""

    def __init__(self, folder, *options, models=None):
        self.folder, self.options = folder, options
        self.root, self.data = folder / "root", folder / "data"
        self.root.mkdir(parents=True, exist_ok=True)
        self.models = models or folder / "models"
        if models is None:
            save_model(make_model(width=0.25, object_diameter_px=18), self.models)
        self.log = folder / "log.txt"
        self.process = None
        self.url = ""

    def start(self):
        words = ["serve", "--root", self.root, "--data", self.data, "--port", "0", *self.options]
        own = {"VITASCOPE_MODELS": str(self.models), "PYTHONPATH": str(Path(vitascope.__file__).parent.parent)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CODE, *map(str, words)],
                stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **own},
            )  # fmt: skip
        line = self.process.stdout.readline()
        assert "http://" in line, self.log.read_text()
        self.url = line.split()[-1].rstrip("/")
        return self

    def end(self, how=signal.SIGTERM):
        clock = time.monotonic()
        self.process.send_signal(how)
        code = self.process.wait(60)
        self.process.stdout.close()
        return code, time.monotonic() - clock

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.end(signal.SIGKILL)

    def ask(self, method, path, body=None, **headers):
        """Return status, headers and body; the body of JSON as Python values."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        if isinstance(body, dict):
            headers.setdefault("Content-Type", "application/json")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, got, text = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, got, text = error.code, error.headers, error.read()
        return status, got, json.loads(text) if "json" in got.get("content-type", "") else text

    def send(self, fields, files=(), path="/v1/jobs", **headers):
        """Post a form."""
        boundary, parts = "b0undary", []
        for name, value in fields:
            parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
        for name, file, content in files:
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'
            parts.append(head.encode() + content + b"\r\n")
        parts.append(f"--{boundary}--\r\n".encode())
        kind = f"multipart/form-data; boundary={boundary}"
        return self.ask("POST", path, b"".join(parts), Content_Type=kind, **headers)

    def wait(self, job_id, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            told = self.ask("GET", f"/v1/jobs/{job_id}")[2]
            if told["state"] in ("done", "failed", "cancelled"):
                return told
            time.sleep(0.1)
        raise AssertionError(f"still {told}")
