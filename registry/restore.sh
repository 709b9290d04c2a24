#!/bin/sh
# restore.sh FOLDER: take back what backup.sh wrote, into the empty database `mlflow` and the working folder.
# The server and the reconciler must be stopped.
set -eu
folder=${1:?usage: restore.sh FOLDER, as backup.sh wrote it}
test ! -e deployed || { echo "deployed: is there already: move it away first" >&2; exit 2; }
pg_restore --exit-on-error --single-transaction --no-owner --dbname=mlflow "$folder/mlflow.dump"
tar --extract --gzip --file="$folder/deployed.tar.gz"
echo "restored; now start the server, then the reconciler, which verifies every deployed bundle"
