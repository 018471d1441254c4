"""A DAG for Apache Airflow: wait for a plate, run it, fit its curves, and write a report.

Put this file into Airflow's folder of DAGs, and set the variables of the environment below for its workers. The
commands run where vitascope is installed; a plate that was interrupted resumes when Airflow tries its task again.
"""

from __future__ import annotations

import os
import shlex
from datetime import datetime, timedelta

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.bash import BashSensor

PLATE = os.environ.get("VITASCOPE_PLATE", "/images/plate")
DONE = os.environ.get("VITASCOPE_PLATE_DONE", f"{PLATE}/acquisition.done")  # what the microscope writes last
OUT = os.environ.get("VITASCOPE_OUT", "/results/plate")
TASK = os.environ.get("VITASCOPE_TASK", "stain")
MAP = os.environ.get("VITASCOPE_MAP", "")  # treatments and doses: without them there are no curves
VALUE = os.environ.get("VITASCOPE_VALUE", "")  # column that curves are fitted to; by default the task's number
SCHEDULER = os.environ.get("VITASCOPE_SCHEDULER", "")  # a dask scheduler, or a service
COMMAND = os.environ.get("VITASCOPE_COMMAND", "vitascope")
CURVES = f"{OUT}_response"
PARTIAL = 3  # exit code: all was tried, and some images have no result


def plate_command() -> str:
    """Write the command that runs the plate; images without a result do not fail the task, their rows say why."""
    more = [*(["--map", MAP] if MAP else []), *(["--scheduler", SCHEDULER] if SCHEDULER else [])]
    words = [COMMAND, "plate", PLATE, "--task", TASK, "-o", OUT, *more]
    return f"{shlex.join(words)} || [ $? -eq {PARTIAL} ]"


def response_command() -> str:
    """Write the command that fits curves over the doses of the plate map; done again, it begins anew."""
    words = [COMMAND, "response", OUT, "-o", CURVES, *(["--value", VALUE] if VALUE else [])]
    return f"rm -rf {shlex.quote(CURVES)} && {shlex.join(words)}"


def report_command() -> str:
    """Write the command that makes one HTML file: of the curves where there are some, else of the plate."""
    return shlex.join([COMMAND, "report", CURVES if MAP else OUT, "-o", f"{OUT}_report.html"])


with DAG(
    "vitascope_plate",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    doc_md=__doc__,
) as dag:
    look = shlex.join(["test", "-e", DONE])  # needs no connection, as a sensor of files does
    wait = BashSensor(task_id="wait_for_plate", bash_command=look, mode="reschedule", poke_interval=60, timeout=86400)
    run = BashOperator(task_id="run_plate", bash_command=plate_command())
    report = BashOperator(task_id="write_report", bash_command=report_command())
    wait >> run
    if MAP:
        response = BashOperator(task_id="fit_curves", bash_command=response_command())
        run >> response >> report
    else:
        run >> report
