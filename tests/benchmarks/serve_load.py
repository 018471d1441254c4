"""The service under load: clients at once, each with small jobs; errors, time to the answer, time to the result.

``python -m tests.benchmarks serve_load [CLIENTS] [JOBS] [WORKERS]``; 100 clients with 10 jobs each by default. Clients are
threads of this process and share its cores with the service, as on a workstation.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from tests.service_support import FAST, Server, make_field

import vitascope


def main(arguments: list[str]) -> None:
    clients, jobs, workers = (int(given) for given in [*arguments, *["100", "10", "1"][len(arguments) :]])
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), "--workers", str(workers)) as server:
        field = make_field(server.root / "field.ome.tif")
        vitascope.Client(server.url).run("stain", field, **FAST)  # the worker has its model
        answered, whole, errors = [], [], []

        def work() -> None:
            client = vitascope.Client(server.url)
            for _ in range(jobs):
                try:
                    clock = time.perf_counter()
                    job = client.start("stain", field, **FAST)
                    answered.append(time.perf_counter() - clock)
                    job.wait()
                    assert job.rows()[0]["status"]
                    whole.append(time.perf_counter() - clock)
                except Exception as error:
                    errors.append(str(error))

        clock = time.perf_counter()
        threads = [threading.Thread(target=work) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - clock
        code, ended = server.end()
    print(
        f"{clients} clients x {jobs} jobs, {workers} worker(s): {len(whole)} results, {len(errors)} errors, {took:.1f} s"
    )
    print(f"  {len(whole) / took:.1f} jobs/s")
    for name, times in (("202 after", answered), ("result after", whole)):
        p50, p95 = np.percentile(times or [np.nan], [50, 95])
        print(f"  {name}: median {p50:.2f} s, p95 {p95:.2f} s")
    print(f"  SIGTERM: code {code} after {ended:.1f} s")
    for error in sorted(set(errors))[:5]:
        print("  error:", error)
