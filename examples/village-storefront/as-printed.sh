#!/bin/bash
# The guide's own commands, on the same cluster, under the same load: what they do in place of what they say.
#
#   as-printed.sh NAMESPACE OLD_IMAGE NEW_IMAGE        (an empty namespace, which is gone afterwards)
#
# Needs kubectl of the cluster, kustomize and `demo` (DEMO names it). Prints a line for each of the guide's procedures:
# `ok` when it still fails as described, `not ok` when it does not any more. Exits 0 when all are ok.
set -uo pipefail

NAMESPACE=$1 OLD=$2 NEW=$3
DEMO=${DEMO:-demo}
APP=village-storefront-workers
work=$(mktemp -d)
here=$(cd "$(dirname "$0")" && pwd)
number=0 wrong=0
load=
k() { kubectl -n "$NAMESPACE" "$@"; }
say() { # ok? what
  number=$((number + 1))
  if [ "$1" = 0 ]; then echo "ok $number $2"; else echo "not ok $number $2"; wrong=$((wrong + 1)); fi
}
tidy() {
  [ -n "$load" ] && kill "$load" 2>"$work/kill"
  kubectl delete namespace "$NAMESPACE" --wait=false >"$work/delete" 2>&1
  rm -rf "$work"
}
trap tidy EXIT

overlay() { # IMAGE: what `kustomize build` gives for the base, its workloads at two pods, without a database
  cat >"$work/kustomization.yaml" <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: $NAMESPACE
resources: [ base ]
configMapGenerator: [ { name: village-storefront-config, literals: [ APP_MODE=printed ] } ]
images: [ { name: village-storefront, newName: ${1%:*}, newTag: ${1##*:} } ]
patches:
  - target: { kind: Deployment }
    patch: |-
      - { op: add, path: /spec/replicas, value: 2 }
      - { op: remove, path: /spec/template/spec/containers/0/env }
      - { op: add, path: /spec/template/spec/containers/0/resources, value: { requests: { cpu: 10m, memory: 16Mi } } }
  - target: { kind: Service }
    patch: |-
      - { op: add, path: /spec/type, value: NodePort }
  - target: { kind: HorizontalPodAutoscaler }
    patch: |-
      - { op: replace, path: /spec/minReplicas, value: 2 }
YAML
  # A suspended template cannot be sent with the rest of it here: it has the names of Secrets that are not needed.
  rm -rf "$work/base" && cp -r "$here/k8s/base" "$work/base"
  kustomize build "$work"
}
image_of() { k get deployment $APP -o 'jsonpath={.spec.template.spec.containers[0].image}'; }
endpoints() { k get endpointslices -l kubernetes.io/service-name=$APP -o 'jsonpath={.items[*].endpoints[*].addresses[0]}' | wc -w; }
restore() { # back to the old version as it was before the guide touched it, and answering
  k delete deployment --all --wait=true --grace-period=1 >"$work/log" 2>&1
  k delete service $APP >"$work/log" 2>&1
  overlay "$OLD" | kubectl apply -f - >"$work/log" || exit 2
  k rollout status deployment/$APP --timeout=90s >"$work/log" || exit 2
  k rollout status deployment/$APP-critical --timeout=90s >"$work/log"
  url="http://127.0.0.1:$(k get service $APP -o 'jsonpath={.spec.ports[0].nodePort}')/"
  for _ in $(seq 100); do curl -fs -o "$work/page" "$url" && break; sleep 0.1; done
}
begin() { "$DEMO" load --url "$url" --rps 100 --seconds 300 --json >"$work/load.json" 2>"$work/load.log" & load=$!; }
finish() { kill "$load"; wait "$load"; load=; }
measured() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/load.json" "$1"; }

kubectl create namespace "$NAMESPACE" >"$work/log"
restore

# Blue/green, steps 1 to 5.
begin
k patch deployment $APP -p '{"metadata":{"labels":{"deployment-color":"green"}}}' >"$work/log"
overlay "$NEW" | kubectl apply -f - >"$work/log"
k patch deployment $APP -p '{"metadata":{"labels":{"deployment-color":"blue"}}}' >"$work/log"
k rollout status deployment/$APP --timeout=90s >"$work/log"
k rollout status deployment/$APP-critical --timeout=90s >"$work/log"
sleep 2
finish
grep -q "\"${NEW##*:v}\"" "$work/load.json"
say $? "users had the new version before it was validated or switched to: there never was a second Deployment"
pod=$(k get pod -l deployment-color=blue -o 'jsonpath={.items[0].metadata.name}' 2>"$work/log")
[ -z "$pod" ]
say $? "no pod bears the colour that step 4 looks for: it tests nothing, and step 5 follows"
begin
sleep 1
k patch service $APP -p '{"spec":{"selector":{"deployment-color":"blue"}}}' >"$work/log"
for _ in $(seq 50); do [ "$(endpoints)" = 0 ] && break; sleep 0.1; done
sleep 3
finish
[ "$(endpoints)" = 0 ] && [ "$(measured failed)" -gt 100 ]
say $? "the switch selects nothing: $(measured failed) of $(measured sent) requests failed"
overlay "$OLD" | kubectl apply -f - >"$work/log"
sleep 1
[ "$(endpoints)" = 0 ] && k get service $APP -o yaml | grep -q deployment-color
say $? "applying the old manifests again does not take the selector back: still no endpoint"

# Scaling down, and the way back.
k scale deployment $APP --replicas=1 -l deployment-color=green >"$work/log" 2>&1
[ $? != 0 ] && [ "$(k get deployment $APP -o 'jsonpath={.spec.replicas}')" = 2 ]
say $? "scale with a name and a selector is refused: $(tail -1 "$work/log")"
k rollout status deployment/$APP -l deployment-color=green >"$work/log" 2>&1
[ $? != 0 ]
say $? "rollout status with a name and a selector is refused: $(tail -1 "$work/log")"
k delete deployment -l deployment-color=blue >"$work/log" 2>&1 && ! k get deployment $APP >"$work/log" 2>&1
say $? "the rollback deletes the only Deployment, and says that traffic is restored to green"

# rollout undo.
restore
k set image deployment/$APP storefront="$NEW" >"$work/log"
k rollout status deployment/$APP --timeout=90s >"$work/log"
k rollout undo deployment/$APP >"$work/log" && k rollout undo deployment/$APP >"$work/log"
[ "$(image_of)" = "$NEW" ]
say $? "undo twice, by two people, is the new version again"
k rollout restart deployment/$APP >"$work/log" && k rollout undo deployment/$APP >"$work/log"
[ "$(image_of)" = "$NEW" ]
say $? "undo after a restart undoes the restart: the image stays"

# The manual deployment: an image name that the base does not have.
cp -r "$here/k8s/base" "$work/edited"
(cd "$work/edited" && kustomize edit set image "ghcr.io/villagecompute/village-storefront=$NEW" >"$work/log" 2>&1)
edited=$?
[ $edited = 0 ] && ! kustomize build "$work/edited" | grep -qF "image: $NEW"
say $? "kustomize edit set image replaces nothing and says so to nobody"

# The migration Job from the CronJob.
k create job --from=cronjob/migrations migration-1 >"$work/log"
job=$(k get job migration-1 -o 'jsonpath={.spec.template.spec.containers[0].image} {.metadata.ownerReferences[0].kind}')
[ "$job" = "$OLD CronJob" ]
say $? "the migration Job runs the image of before, and goes with its CronJob: $job"

# The rotation.
k create secret generic village-storefront-db --from-literal=jdbc-url=u --from-literal=username=u --from-literal=password=OLD >"$work/log"
k patch deployment $APP --type=json -p '[{"op":"add","path":"/spec/template/spec/containers/0/env","value":[{"name":"DATABASE_PASSWORD","valueFrom":{"secretKeyRef":{"name":"village-storefront-db","key":"password"}}}]}]' >"$work/log"
k create secret generic village-storefront-db-new --from-literal=jdbc-url=u --from-literal=username=u --from-literal=password=NEW >"$work/log"
k set env deployment/$APP --from=secret/village-storefront-db-new >"$work/log"
k get deployment $APP -o yaml >"$work/deployment.yaml"
grep -q 'name: PASSWORD$' "$work/deployment.yaml" && grep -A4 'name: DATABASE_PASSWORD' "$work/deployment.yaml" | grep -q 'name: village-storefront-db$'
say $? "set env adds variables that nobody reads; the application keeps the old reference"
k delete secret village-storefront-db >"$work/log"
k rollout restart deployment/$APP >"$work/log"
waiting='jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}'
for _ in $(seq 300); do k get pods -o "$waiting" | grep -q CreateContainerConfigError && break; sleep 0.1; done
k get pods -o "$waiting" | grep -q CreateContainerConfigError
say $? "once the old Secret is deleted no new pod starts: CreateContainerConfigError"

# Looking for the cause of a restart.
[ -z "$(k get events --field-selector reason=OOMKilled -o name)" ]
say $? "there is no event OOMKilled to look for: the pod's status says it"

echo "1..$number"
exit $((wrong > 0))
