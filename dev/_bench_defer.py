"""Defers the task instances of a run of the DAG "sensors", as stock sensors would: _bench_defer.py RUN_ID CONN_ID.

Runs in the Airflow that is measured. A worker would start a thousand processes to do the same.
"""

import sys

from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.providers.microsoft.azure.triggers.wasb import WasbBlobSensorTrigger
from airflow.utils.session import create_session
from sqlalchemy import delete, select, update

# Longer than the bench runs: each sensor asks once.
POKE_SECONDS = 3600


def main(run_id: str, conn_id: str) -> None:
    """Take the triggers of earlier runs away, too."""
    with create_session() as session:
        session.execute(update(TaskInstance).values(trigger_id=None, state="removed"))
        session.execute(delete(Trigger))
        for instance in session.scalars(select(TaskInstance).where(TaskInstance.run_id == run_id)):
            blob = f"{instance.map_index}.txt"
            waiting = WasbBlobSensorTrigger("data", blob, wasb_conn_id=conn_id, poke_interval=POKE_SECONDS)
            instance.trigger = Trigger(*waiting.serialize())
            instance.state = "deferred"


if __name__ == "__main__":
    main(*sys.argv[1:])
