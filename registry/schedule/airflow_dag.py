"""Airflow: a look every ten minutes whether there are labels to learn from.

Put it into the folder of DAGs of a worker that has the checkout at /srv/astroreel.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    "astroreel_schedule",
    schedule=timedelta(minutes=10),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    # The next tick takes a pass up again: nothing is gained by trying at once.
    default_args={"retries": 0},
):
    BashOperator(
        task_id="tick",
        bash_command="/srv/astroreel/.venv/bin/astroreel schedule tick",
        cwd="/srv/astroreel",
        append_env=True,
        execution_timeout=timedelta(hours=4),
    )
