"""The one adapter to MLflow: runs, versions and what is known of them."""

import os

# A research code should call nobody's home; MLflow reads this when it is first imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
