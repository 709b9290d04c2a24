#!/bin/sh
# backup.sh FOLDER: dump the database `mlflow` and the deployed state below the working folder.
# The server may run: the dump is of one instant. The database is found by PGHOST, PGUSER, PGPASSWORD.
set -eu
folder=${1:?usage: backup.sh FOLDER, a new one}
umask 077
mkdir -p "$(dirname "$folder")"
mkdir "$folder"
pg_dump --format=custom --file="$folder/mlflow.dump" mlflow
tar --create --gzip --file="$folder/deployed.tar.gz" deployed
echo "$folder: mlflow.dump, deployed.tar.gz; now copy the bucket, which holds the bundles"
