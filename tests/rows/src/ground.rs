//! What the machine has for the rows.

use std::path::PathBuf;

use tagline_tests::gate;

use crate::Kubectl;

/// The test cluster and what stands beside it, as the environment names it.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Credentials of an administrator of the cluster, in its current context.
    pub kubeconfig: PathBuf,
    /// `HOST:PORT` of the registry on loopback, which the cluster pulls from.
    pub registry: String,
    /// `http://HOST:PORT` of Prometheus.
    pub prometheus: String,
    /// `postgres://…` of an administrator, as this machine reaches it.
    pub postgres: String,
    /// The same as pods reach it.
    pub postgres_in_pods: String,
    /// The API server's audit log.
    pub audit_log: PathBuf,
    /// The demo application's program.
    pub demo: PathBuf,
}

impl Ground {
    /// The ground, or none where there is no cluster: then a skip is noted, and in CI the test fails.
    #[track_caller]
    pub fn require() -> Option<Self> {
        match Self::find() {
            Ok(ground) => Some(ground),
            Err(missing) => {
                gate::skip("cluster", &format!("{missing} is not set; `cargo xtask rows` brings the cluster up"));
                None
            }
        }
    }

    fn find() -> Result<Self, &'static str> {
        let variable = |name: &'static str| std::env::var(name).map_err(|_| name);
        Ok(Self {
            kubeconfig: variable("TAGLINE_TEST_KUBECONFIG")?.into(),
            registry: variable("TAGLINE_TEST_REGISTRY")?,
            prometheus: variable("TAGLINE_TEST_PROMETHEUS")?,
            postgres: variable("TAGLINE_TEST_POSTGRES")?,
            postgres_in_pods: variable("TAGLINE_TEST_POSTGRES_IN_PODS")?,
            audit_log: variable("TAGLINE_TEST_AUDIT_LOG")?.into(),
            demo: variable("TAGLINE_TEST_DEMO")?.into(),
        })
    }

    /// The real `kubectl` in a namespace.
    pub fn kubectl(&self, namespace: &str) -> Kubectl {
        Kubectl::new(self.clone(), namespace)
    }
}
