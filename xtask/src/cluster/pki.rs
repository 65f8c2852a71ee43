//! The cluster's certificate authority, what it signs, and the kubeconfig files made of that.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::home::Home;
use super::network;

/// The node's name.
pub(super) const NODE_NAME: &str = "tagline";
/// The context of every kubeconfig, and the cluster's name in it.
const CONTEXT: &str = "tagline-test";

/// Who gets a kubeconfig: file, user, group.
const USERS: [(&str, &str, &str); 8] = [
    ("admin", "tagline-admin", "system:masters"),
    ("restricted", "tagline-restricted", "tagline:restricted"),
    ("controller-manager", "system:kube-controller-manager", "system:kube-controller-manager"),
    ("scheduler", "system:kube-scheduler", "system:kube-scheduler"),
    ("proxy", "system:kube-proxy", "system:node-proxier"),
    ("kubelet", "system:node:tagline", "system:nodes"),
    // Not the administrator, so that their requests can be told apart in the audit log.
    ("prometheus", "tagline-prometheus", "system:masters"),
    ("dns", "tagline-dns", "system:masters"),
];

/// A file of the certificates.
pub(super) fn file(home: &Home, name: &str) -> PathBuf {
    home.run("pki").join(name)
}

/// The kubeconfig of a user of [`USERS`].
pub(super) fn kubeconfig(home: &Home, user: &str) -> PathBuf {
    file(home, &format!("{user}.kubeconfig"))
}

/// The API server's address.
pub(super) fn server() -> String {
    format!("https://{}:6443", network::NODE)
}

/// Makes everything, unless it is there.
pub(super) fn make(home: &Home) -> Result<()> {
    let done = file(home, "done");
    if done.exists() {
        return Ok(());
    }
    let folder = home.run("pki");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700))?;
    let authority = Authority::new()?;
    std::fs::write(file(home, "ca.crt"), &authority.certificate)?;
    write_key(&file(home, "ca.key"), &authority.issuer.key().serialize_pem())?;
    let signer = KeyPair::generate()?;
    write_key(&file(home, "service-accounts.key"), &signer.serialize_pem())?;
    std::fs::write(file(home, "service-accounts.pub"), signer.public_key_pem())?;
    for (name, hosts) in
        [("apiserver", api_names()), ("kubelet-server", vec![network::NODE.to_owned(), NODE_NAME.to_owned()])]
    {
        authority.sign(name, "", hosts)?.write(home, name)?;
    }
    authority.sign("kube-apiserver-kubelet-client", "system:masters", Vec::new())?.write(home, "kubelet-client")?;
    for (name, user, group) in USERS {
        let pair = authority.sign(user, group, Vec::new())?;
        write_key(&kubeconfig(home, name), &pair.kubeconfig(&authority.certificate, user))?;
    }
    Ok(std::fs::write(done, "")?)
}

fn api_names() -> Vec<String> {
    let hosts = [network::NODE, network::API_SERVICE, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default"];
    let long = ["kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];
    hosts.iter().chain(&long).map(|&name| name.to_owned()).collect()
}

fn write_key(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(std::fs::set_permissions(file, PermissionsExt::from_mode(0o600))?)
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A signed certificate and its key, as PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "tagline test cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// A certificate for the name in the group; a server's where there are hosts.
    fn sign(&self, name: &str, group: &str, hosts: Vec<String>) -> Result<Pair> {
        let server = !hosts.is_empty();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, name);
        if !group.is_empty() {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        let usage = if server { ExtendedKeyUsagePurpose::ServerAuth } else { ExtendedKeyUsagePurpose::ClientAuth };
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}

impl Pair {
    fn write(&self, home: &Home, name: &str) -> Result<()> {
        std::fs::write(file(home, &format!("{name}.crt")), &self.certificate)?;
        write_key(&file(home, &format!("{name}.key")), &self.key)
    }

    /// A kubeconfig with everything inside, as JSON (which is YAML).
    fn kubeconfig(&self, authority: &str, user: &str) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let value = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": CONTEXT, "cluster": {
                "server": server(),
                "certificate-authority-data": STANDARD.encode(authority),
            }}],
            "users": [{ "name": user, "user": {
                "client-certificate-data": STANDARD.encode(&self.certificate),
                "client-key-data": STANDARD.encode(&self.key),
            }}],
            "contexts": [{ "name": CONTEXT, "context": { "cluster": CONTEXT, "user": user } }],
            "current-context": CONTEXT,
        });
        format!("{value:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelet_s_user_is_its_node() {
        let named = USERS.iter().any(|(_, user, _)| *user == format!("system:node:{NODE_NAME}"));
        assert!(named, "the API server's node authorizer looks for this name");
    }

    #[test]
    fn a_kubeconfig_leads_to_the_api_server_as_its_user() {
        let authority = Authority::new().expect("an authority");
        let pair = authority.sign("somebody", "some:group", Vec::new()).expect("a certificate");
        let text = pair.kubeconfig(&authority.certificate, "somebody");
        let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(config["clusters"][0]["cluster"]["server"], server());
        let context = &config["contexts"][0];
        assert_eq!(context["name"], config["current-context"]);
        assert_eq!(context["context"]["user"], config["users"][0]["name"]);
    }
}
