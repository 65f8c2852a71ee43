//! What pods find by name: the cluster's DNS and PostgreSQL, both processes of the node behind Services without selector.

use anyhow::Result;
use serde_json::{Value, json};

use super::home::Home;
use super::process::Component;
use super::state::State;
use super::{control, network, pki};

/// The namespace of PostgreSQL's Service.
pub(super) const NAMESPACE: &str = "tagline-services";

/// PostgreSQL's name inside the cluster.
pub(super) fn postgres_host() -> String {
    format!("postgres.{NAMESPACE}.svc.cluster.local")
}

/// Host and port of a PostgreSQL URL, as two words.
pub(super) fn host_and_port(url: &str) -> String {
    let after = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
    after.split('/').next().unwrap_or(after).replace(':', " ")
}

/// Starts the cluster's DNS. Names of other domains are refused: nothing is asked outside.
pub(super) fn dns(home: &Home, state: &mut State) -> Result<bool> {
    let config = format!(
        "cluster.local:53 in-addr.arpa:53 {{\n  bind {}\n  errors\n  kubernetes cluster.local in-addr.arpa {{\n    \
         kubeconfig {}\n    pods insecure\n    ttl 1\n  }}\n}}\n",
        network::NODE,
        pki::kubeconfig(home, "dns").display()
    );
    let file = home.write("Corefile", &config)?;
    Component::new("coredns", home.program("coredns")).arg("-conf").arg(file.display().to_string()).start(home, state)
}

/// Makes the Services, unless they are as they should be.
pub(super) fn apply(home: &Home, state: &State) -> Result<()> {
    let postgres = [("postgres", "TCP", 5432, state.ports.postgres)];
    let names = [("dns", "UDP", 53, 53), ("dns-tcp", "TCP", 53, 53)];
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    let mut items = vec![namespace];
    items.extend(service(NAMESPACE, "postgres", network::POSTGRES_SERVICE, &postgres));
    items.extend(service("kube-system", "kube-dns", network::DNS_SERVICE, &names));
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    control::apply(home, state, &list)
}

/// A Service and the slice that leads to the node; each port: name, protocol, port, port of the node.
fn service(namespace: &str, name: &str, address: &str, ports: &[(&str, &str, u16, u16)]) -> [Value; 2] {
    let offered: Vec<Value> = ports
        .iter()
        .map(|(name, protocol, port, target)| json!({ "name": name, "protocol": protocol, "port": port, "targetPort": target }))
        .collect();
    let reached: Vec<Value> = ports
        .iter()
        .map(|(name, protocol, _, target)| json!({ "name": name, "protocol": protocol, "port": target }))
        .collect();
    [
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": namespace, "name": name },
            "spec": { "clusterIP": address, "ports": offered },
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "namespace": namespace, "name": format!("{name}-node"), "labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "tagline-test-cluster",
            }},
            "addressType": "IPv4",
            "endpoints": [{ "addresses": [network::NODE], "conditions": { "ready": true } }],
            "ports": reached,
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_of_a_url() {
        let url = super::super::postgres::url(&postgres_host(), 5432);
        assert_eq!(host_and_port(&url), "postgres.tagline-services.svc.cluster.local 5432");
    }

    #[test]
    fn a_slice_belongs_to_its_service_and_leads_to_the_node() {
        let [service, slice] = service("some", "db", "10.245.0.9", &[("db", "TCP", 5432, 4711)]);
        assert_eq!(service["spec"]["clusterIP"], "10.245.0.9");
        assert_eq!(service["spec"]["ports"][0]["targetPort"], 4711);
        assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], service["metadata"]["name"]);
        assert_eq!(slice["ports"][0]["port"], 4711);
        assert_eq!(slice["endpoints"][0]["addresses"][0], network::NODE);
    }
}
