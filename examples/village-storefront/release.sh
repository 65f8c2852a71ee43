#!/bin/bash
# This example on a cluster, once through: two releases to production and the way back, under load. See README.md.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
TAGLINE=${TAGLINE:-tagline}

remove() { # FOLDER
  for namespace in $(cat "$1/namespaces"); do
    kubectl --kubeconfig "$1/admin.kubeconfig" delete namespace "$namespace" --ignore-not-found
    kubectl --kubeconfig "$1/admin.kubeconfig" delete persistentvolume "$namespace" --ignore-not-found
  done
  psql -q "$TAGLINE_TEST_POSTGRES" -c "drop database if exists $(cat "$1/database") with (force)"
  psql -q "$TAGLINE_TEST_POSTGRES" -c "drop role if exists $(cat "$1/database")"
  rm -rf "$1"
}
if [ "${1:-}" = --remove ]; then remove "$2"; exit; fi

folder=$(mktemp -d)
mkdir -m 777 "$folder/backup"
chmod 755 "$folder"
id=$$ password=first-password
staging=village-storefront-staging-$id production=village-storefront-$id database=storefront_$id
demo=${TAGLINE_TEST_DEMO:-}
if [ -z "$demo" ]; then
  (cd "$here/../demo" && cargo build --release --locked --target x86_64-unknown-linux-gnu --target-dir "$folder/target")
  demo=$folder/target/x86_64-unknown-linux-gnu/release/demo
fi
echo "$staging $production" >"$folder/namespaces"
echo "$database" >"$folder/database"

# The contexts of environments.yml, all of this one cluster; none of them is current.
kubectl config view --raw --minify --flatten >"$folder/admin.kubeconfig"
cp "$folder/admin.kubeconfig" "$folder/kubeconfig"
chmod 600 "$folder"/*kubeconfig
of() { kubectl config view --kubeconfig "$folder/kubeconfig" -o "jsonpath={.contexts[0].context.$1}"; }
for context in dev-cluster staging prod; do
  kubectl config --kubeconfig "$folder/kubeconfig" set-context "$context" --cluster "$(of cluster)" --user "$(of user)" >"$folder/log"
done
kubectl config --kubeconfig "$folder/kubeconfig" unset current-context >"$folder/log"
admin() { kubectl --kubeconfig "$folder/admin.kubeconfig" "$@"; }

# A database, and Secrets that lead to it.
psql -q "$TAGLINE_TEST_POSTGRES" -c "create role $database login createrole createdb password '$password'"
psql -q "$TAGLINE_TEST_POSTGRES" -c "create database $database owner $database"
place=${TAGLINE_TEST_POSTGRES_IN_PODS##*@}
for namespace in "$staging" "$production"; do
  admin create namespace "$namespace"
  secret() { admin create secret generic "$1" --namespace "$namespace" "${@:2}" >"$folder/log"; }
  secret village-storefront-db --from-literal="jdbc-url=jdbc:postgresql://${place%%/*}/$database" \
    --from-literal="username=$database" --from-literal="password=$password"
  secret village-storefront-r2 --from-literal=access-key-id=id --from-literal=secret-access-key=key
  secret village-storefront-stripe --from-literal=api-key=sk_test
  # Where backups go: a folder of the node.
  admin apply --namespace "$namespace" -f - <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: { name: $namespace }
spec:
  capacity: { storage: 1Gi }
  accessModes: [ ReadWriteOnce ]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ''
  hostPath: { path: $folder/backup, type: DirectoryOrCreate }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: village-storefront-backup }
spec: { accessModes: [ ReadWriteOnce ], storageClassName: '', volumeName: $namespace, resources: { requests: { storage: 1Gi } } }
YAML
done

# A repository: this folder with the namespaces of this time, and seconds for minutes and hours.
cp -r "$here" "$folder/village-storefront"
cd "$folder/village-storefront"
mkdir bin && cp "$demo" bin/demo
grep -rlE 'namespace: village-storefront' . | xargs sed -i -E "s/(namespace: village-storefront(-staging|-dev)?)\b/\1-$id/"
sed -i "s/^  name: village-storefront-dev$/&-$id/" k8s/bootstrap/dev.yaml
set_variable() { sed -i "s|^  $1: .*|  $1: $2|" .tagline/environments.yml; }
set_variable REGISTRY "$TAGLINE_TEST_REGISTRY"
set_variable PROMETHEUS "$TAGLINE_TEST_PROMETHEUS"
set_variable MANIFESTS k8s/local
set_variable MIN_READY 1s
set_variable DRAIN 4s
set_variable STAGING_WATCH 0s
set_variable INTERVAL 1s
set_variable WINDOW 10s
set_variable NO_DATA 10s
set_variable WATCH 30s
set_variable ERRORS_FOR 5s
set_variable ERRORS_WITHIN 15s
set_variable LATENCY_FOR 8s
set_variable MEMORY_FOR 10s
git init -q -b main
git config user.name Ona
git config user.email ona@example.com

export KUBECONFIG=$folder/kubeconfig TAGLINE_STORE=sqlite://$folder/store
release() { # VERSION
  printf 'version = "%s"\n' "$1" >release.toml
  git add --all && git commit -qm "Version $1" && git tag -am "Version $1" "v$1"
  "$TAGLINE" run --tag "v$1" && return
  # It waits for its approval. The vote names the plan that was read: the refusal without it says which.
  run=$("$TAGLINE" runs --json | grep -m1 '"id":' | tr -dc 0-9)
  plan=$("$TAGLINE" approve "$run" --environment production 2>&1 | grep -oE -m1 -- '--plan [0-9a-f]{12}' | cut -d' ' -f2 || true)
  "$TAGLINE" approve "$run" --environment production --plan "$plan"
  "$TAGLINE" resume "$run"
}
# Requests from the moment there is somewhere to send them: rules judge nothing without traffic.
port=
requests() {
  until port=$(admin get service village-storefront-workers --namespace "$production" -o 'jsonpath={.spec.ports[0].nodePort}' 2>&1); do
    sleep 0.2
  done
  until curl -fs -o "$folder/log" "http://${NODE:-127.0.0.1}:$port/"; do sleep 0.2; done
  exec "$demo" load --url "http://${NODE:-127.0.0.1}:$port/" --rps 100 --seconds 900 --slow 10% --keepalive half --json
}
requests >"$folder/load.json" &
load=$!
release 1.2.2
release 1.2.3
"$TAGLINE" rollback production
"$TAGLINE" environments production
kill "$load"
good=0
wait "$load" || good=1
cat "$folder/load.json"
echo "images     $TAGLINE_TEST_REGISTRY/village-storefront:v1.2.2 …:v1.2.3"
echo "repository $folder/village-storefront"
echo "remove     $0 --remove $folder"
exit $good
