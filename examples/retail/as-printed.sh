#!/bin/bash
# The runbook's own commands, on the same cluster, under the same load: what they do in place of what they say.
#
#   as-printed.sh NAMESPACE IMAGE OLD NEW NEWER       (an empty namespace, which is gone afterwards; three tags of the image)
#
# Needs kubectl of the cluster, helm and `demo` (DEMO names it). Prints a line for each of the runbook's procedures: `ok` when
# it still fails as described, `not ok` when it does not any more. Exits 0 when all are ok.
set -uo pipefail

NAMESPACE=$1 IMAGE=$2 OLD=$3 NEW=$4 NEWER=$5
DEMO=${DEMO:-demo}
APP=retail-backend
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
number=0 wrong=0 load=
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

endpoints() { k get endpointslices -l kubernetes.io/service-name=$APP -o json | grep -c '"ready": true'; }
image_of() { k get "deployment/$1" -o 'jsonpath={.spec.template.spec.containers[0].image}'; }
answers() { for _ in $(seq 100); do curl -fs -o "$work/page" "$url" && return 0; sleep 0.1; done; return 1; }
found() { # the pair as it was found: blue serves, green at none
  k delete deployment --all --wait=true >"$work/log" 2>&1
  k delete service $APP --ignore-not-found >"$work/log" 2>&1
  for colour in blue green; do
    sed "s|image: .*|image: $IMAGE:$OLD|" "$here/k8s/as-found/retail-backend-$colour.yaml" | k apply -f - >"$work/log"
  done
  k apply -f "$here/k8s/as-found/service.yaml" >"$work/log"
  k rollout status deployment/$APP-blue --timeout=90s >"$work/log"
  url="http://127.0.0.1:$(k get service $APP -o 'jsonpath={.spec.ports[0].nodePort}')/"
  answers
}
begin() { "$DEMO" load --url "$url" --rps 100 --seconds 300 --json >"$work/load.json" 2>"$work/load.log" & load=$!; }
finish() { kill "$load"; wait "$load"; load=; }
measured() { sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" "$work/load.json" | head -1; }
switch() { k patch service $APP -p "{\"spec\":{\"selector\":{\"deployment\":\"$1\"}}}" >"$work/log"; }

kubectl create namespace "$NAMESPACE" >"$work/log"

# Blue-green deployment, of an image that does not exist, to the idle colour that its last step leaves at none.
found
begin
k set image deployment/$APP-green $APP="$IMAGE:never-built" >"$work/log"
k rollout status deployment/$APP-green --timeout=60s >"$work/status" 2>&1
grep -q 'successfully rolled out' "$work/status"
say $? "an image that does not exist was 'successfully rolled out'"
switch green
sleep 3
[ "$(endpoints)" = 0 ] && ! curl -fs -m 2 -o "$work/page" "$url"
say $? "the switch sent everybody to no pods at all"
finish
[ "$(measured failed)" -gt 100 ]
say $? "users were refused: $(measured failed) of $(measured sent) requests"

# The same with a good image and pods, the old colour scaled down, and then the way back as printed.
found
k scale deployment/$APP-green --replicas=3 >"$work/log"
k set image deployment/$APP-green $APP="$IMAGE:$NEW" >"$work/log"
k rollout status deployment/$APP-green --timeout=90s >"$work/log"
switch green
answers
k scale deployment/$APP-blue --replicas=0 >"$work/log"
k wait --for=delete pod -l deployment=blue --timeout=60s >"$work/log" 2>&1
begin
switch blue
sleep 3
finish
[ "$(endpoints)" = 0 ] && [ "$(measured failed)" -gt 100 ]
say $? "the way back led to a colour without pods: $(measured failed) of $(measured sent) requests were refused"

# The next release: it goes to green again, and green is live.
switch green
answers
begin
k set image deployment/$APP-green $APP="$IMAGE:$NEWER" >"$work/log"
k rollout status deployment/$APP-green --timeout=90s >"$work/log"
sleep 2
finish
grep -q "\"$NEWER\"" "$work/load.json"
say $? "users had the next version before it was tested or switched to: it was put over the live colour"

# Rolling back is a toggle.
k rollout undo deployment/$APP-green >"$work/log"
k rollout status deployment/$APP-green --timeout=90s >"$work/log"
k rollout undo deployment/$APP-green >"$work/log"
k rollout status deployment/$APP-green --timeout=90s >"$work/log"
[ "$(image_of $APP-green)" = "$IMAGE:$NEWER" ]
say $? "a second 'rollout undo' brought the bad version back"
k rollout undo deployment/$APP-green --to-revision=2 >"$work/undo" 2>&1
say $((! $?)) "'--to-revision=2' finds nothing: revisions are renumbered"

# VERSION unset.
(
  unset VERSION
  k set image deployment/$APP-green $APP="$IMAGE:${VERSION-}" >"$work/log"
)
say $? "an image without a tag is accepted"
for _ in $(seq 100); do k get pods -o 'jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}' | grep -q InvalidImageName && break; sleep 0.2; done
k get pods -o 'jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}' | grep -q InvalidImageName
say $? "and becomes InvalidImageName in the cluster"

# Option A, then option B, then option A again with a value of its own.
k delete deployment,service --all --wait=true >"$work/log" 2>&1
chart() { helm -n "$NAMESPACE" upgrade --install $APP "$here/deploy/helm/$APP" --set image.repository="$IMAGE" "$@" >"$work/helm" 2>&1; }
chart --set-string image.tag=never-built
say $? "Helm says STATUS: deployed of an image that does not exist"
chart --set-string image.tag="$OLD"
k rollout status deployment/$APP --timeout=90s >"$work/log"
k set image deployment/$APP $APP="$IMAGE:$NEW" >"$work/log"
chart --reuse-values --set replicas=1
[ "$(image_of $APP)" = "$IMAGE:$OLD" ]
say $? "the next 'helm upgrade' put the old image back over what 'set image' had delivered"

# Post-deployment verification.
k rollout status deployment/$APP --timeout=90s >"$work/log"
k logs -l app=$APP --tail=100 | grep -i error >"$work/log"
say $((! $?)) "the search for errors ends as a failure when there are none"

exit $((wrong > 0))
