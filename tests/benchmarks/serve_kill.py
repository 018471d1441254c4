"""The service killed again and again: nothing lost, nothing twice. ``python -m tests.benchmarks serve_kill [KILLS]``."""

from __future__ import annotations

import random
import signal
import sqlite3
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

from tests.service_support import FAST, Server, make_field

FIELDS = 8
PAUSES_S = (0.3, 0.8, 1.5, 2.2, 2.6)


def main(arguments: list[str]) -> None:
    kills = int(arguments[0]) if arguments else 9
    with tempfile.TemporaryDirectory() as folder:
        server, ids = Server(Path(folder)), []
        for number in range(FIELDS):
            make_field(server.root / f"f{number}.ome.tif", 700 + 40 * number)
        with server:
            for _ in range(kills):
                for number in range(FIELDS):
                    body = {"task": "stain", "files": [f"f{number}.ome.tif"], "params": FAST}
                    ids.append(server.ask("POST", "/v1/jobs", body)[2]["id"])
                time.sleep(random.choice(PAUSES_S))
                server.end(signal.SIGKILL)
                server.start()
            states = Counter(server.wait(job_id)["state"] for job_id in ids)
            tables = defaultdict(set)
            for number, job_id in enumerate(ids):
                tables[number % FIELDS].add(server.ask("GET", f"/v1/jobs/{job_id}/result", Accept="text/csv")[2])
            base = sqlite3.connect(server.data / "jobs.sqlite")
            attempts = dict(base.execute("SELECT attempts, COUNT(*) FROM jobs GROUP BY attempts").fetchall())
            base.close()
    print(f"{len(ids)} jobs, {kills} kills: {dict(states)}; jobs by attempts: {attempts}")
    print("same bytes for the same image:", all(len(found) == 1 for found in tables.values()))
