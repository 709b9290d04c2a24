"""Stage register: runs and models published to MLflow, each once."""

from __future__ import annotations

from stage import MODELS, ROOT, stage

from astroreel.files import write_json
from astroreel.tracking.project import publish_project

if __name__ == "__main__":
    with stage("register", recorded=False) as run:
        write_json(MODELS / "versions.json", publish_project(ROOT, run.parameters))
