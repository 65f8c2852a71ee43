//! A way to the API server that can be cut: to every client it looks as if the server were away, and nobody else notices.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The way.
pub(crate) struct Proxy {
    address: SocketAddr,
    upstream: String,
    /// Whether it is cut; connections that are open then break.
    cut: Arc<watch::Sender<bool>>,
    listener: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// To the server of this kubeconfig's current context. The kubeconfig of the way is written to `folder`.
    pub(crate) async fn start(kubeconfig: &Path, folder: &Path) -> (Self, PathBuf) {
        let text = std::fs::read_to_string(kubeconfig).expect("the kubeconfig can be read");
        let mut config: Value = serde_yaml::from_str(&text).expect("it is YAML");
        let server = config["clusters"][0]["cluster"]["server"].as_str().expect("it names a server").to_owned();
        let upstream = server.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let host = upstream.rsplit_once(':').map_or(upstream.as_str(), |(host, _)| host).to_owned();
        let cluster = &mut config["clusters"][0]["cluster"];
        cluster["server"] = json!(format!("https://{address}"));
        cluster["tls-server-name"] = json!(host);
        let path = folder.join("through-proxy.yaml");
        std::fs::write(&path, config.to_string()).expect("the folder is there");
        let cut = Arc::new(watch::Sender::new(false));
        let listener = tokio::spawn(pass(listener, upstream.clone(), Arc::clone(&cut)));
        (Self { address, upstream, cut, listener }, path)
    }

    /// Breaks all connections and refuses new ones.
    pub(crate) async fn cut(&mut self) {
        self.cut.send_replace(true);
        self.listener.abort();
        let _ = (&mut self.listener).await;
    }

    /// Passes on again.
    pub(crate) async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is still free");
        self.cut = Arc::new(watch::Sender::new(false));
        self.listener = tokio::spawn(pass(listener, self.upstream.clone(), Arc::clone(&self.cut)));
    }
}

async fn pass(listener: TcpListener, upstream: String, cut: Arc<watch::Sender<bool>>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let (upstream, mut cut) = (upstream.clone(), cut.subscribe());
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(upstream).await else { return };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = cut.wait_for(|cut| *cut) => {}
            }
        });
    }
}
