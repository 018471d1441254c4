"""A DAG for Apache Airflow: wait for a plate, run it, and make its tables for a report.

Put this file into Airflow's folder of DAGs, and set the variables of the environment below for its workers. The
commands run where vitascope is installed; a plate that was interrupted resumes when Airflow tries its task again.
"""

from __future__ import annotations

import os
import shlex
from datetime import datetime, timedelta

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.filesystem import FileSensor

PLATE = os.environ.get("VITASCOPE_PLATE", "/images/plate")
DONE = os.environ.get("VITASCOPE_PLATE_DONE", f"{PLATE}/acquisition.done")  # what the microscope writes last
OUT = os.environ.get("VITASCOPE_OUT", "/results/plate")
TASK = os.environ.get("VITASCOPE_TASK", "stain")
MAP = os.environ.get("VITASCOPE_MAP", "")
COMMAND = os.environ.get("VITASCOPE_COMMAND", "vitascope")
PARTIAL = 3  # exit code: all was tried, and some images have no result


def plate_command() -> str:
    """Write the command that runs the plate; images without a result do not fail the task, their rows say why."""
    words = [COMMAND, "plate", PLATE, "--task", TASK, "-o", OUT, *(["--map", MAP] if MAP else [])]
    return f"{shlex.join(words)} || [ $? -eq {PARTIAL} ]"


with DAG(
    "vitascope_plate",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    doc_md=__doc__,
) as dag:
    wait = FileSensor(task_id="wait_for_plate", filepath=DONE, mode="reschedule", poke_interval=60, timeout=86400)
    run = BashOperator(task_id="run_plate", bash_command=plate_command())
    report = BashOperator(task_id="check_tables", bash_command=shlex.join(["test", "-s", f"{OUT}/results.parquet"]))
    wait >> run >> report
