//! The retail shop: what its rows have in common.

use std::fs;
use std::io::Write as _;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tagline_tests::{Outcome, until};

use crate::{Database, Ground, Load, Shop, fault};

/// The backend: its Service, its container, its image.
pub const BACKEND: &str = "retail-backend";
/// The three components.
pub const COMPONENTS: [&str; 3] = [BACKEND, "retail-consumer-web", "retail-admin-web"];
/// Staging's namespace, as the example has it.
pub const STAGING: &str = "retail-staging";
/// Production's.
pub const PRODUCTION: &str = "retail-production";
/// Of the fourteen variables those that are plain.
pub const VARIABLES: [&str; 5] =
    ["JWT_EXPIRATION", "SMTP_HOST", "SMTP_PORT", "ENABLE_RATE_LIMITING", "ENABLE_CSRF_PROTECTION"];
/// Those that are secrets.
pub const SECRETS: [&str; 9] = [
    "MONGODB_URI",
    "REDIS_URL",
    "ELASTICSEARCH_URL",
    "POSTGRES_URL",
    "JWT_SECRET",
    "PAYPAL_CLIENT_ID",
    "PAYPAL_CLIENT_SECRET",
    "SMTP_USERNAME",
    "SMTP_PASSWORD",
];

/// A whole pipeline, three builds and two environments, on a loaded machine.
const LIMIT: Duration = Duration::from_mins(10);

/// The example in a repository of its own, with a database for each environment.
#[derive(Debug)]
pub struct Retail {
    shop: Shop,
    /// Production's database; staging's is that of the shop.
    pub database: Database,
}

impl Deref for Retail {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

impl Retail {
    /// The example with its secrets set and its variables in seconds; there are no namespaces yet.
    #[track_caller]
    pub fn new(ground: &Ground) -> Self {
        let mut shop = Shop::new(ground, "retail");
        shop.tagline = shop.tagline.clone().limit(LIMIT);
        shop.repo.user("ona@example.com");
        // Three builds at once, whatever the machine's processors.
        shop.scratch.write("home/config/tagline/runner.toml", "jobs = 4\n");
        let retail = Self { database: Database::new(ground), shop };
        retail.set(&[
            ("API_URL", "http://127.0.0.1:1"),
            ("HEALTH_FOR", "6s"),
            ("NO_DATA", "10s"),
            ("BACKUP_MIN", "64"),
            ("LOG_ERRORS", "'1000000'"),
        ]);
        for name in SECRETS {
            retail.secret(name, "a-value");
        }
        retail
    }

    /// Both namespaces with what the shop needs of others; of the shop itself only the Service, so that requests have an
    /// address before the first release.
    #[track_caller]
    pub fn empty(ground: &Ground) -> Self {
        let retail = Self::new(ground);
        retail.tagline.run(["run", "found", "--event", "workflow_dispatch"]).success();
        for (name, database) in [(STAGING, &retail.shop.database), (PRODUCTION, &retail.database)] {
            retail.namespace_of(name, database);
            let kubectl = retail.kubectl(name);
            kubectl.apply(&retail.manifest("k8s/stand-ins.yaml"));
            kubectl.apply(&retail.manifest("k8s/as-found/backups.yaml").replace(
                "spec:\n",
                &format!("spec:\n  storageClassName: ''\n  volumeName: {}\n", kubectl.namespace()),
            ));
        }
        retail
            .kubectl(PRODUCTION)
            .apply(&retail.manifest("k8s/as-found/service.yaml").replace(", deployment: blue", ""));
        retail.set(&[("API_URL", retail.url(PRODUCTION, BACKEND).trim_end_matches('/'))]);
        retail
    }

    /// Production as it was found: blue serves 1.0.0, green stands by at 0.
    #[track_caller]
    pub fn found(ground: &Ground) -> Self {
        let retail = Self::empty(ground);
        let kubectl = retail.kubectl(PRODUCTION);
        for file in ["retail-backend-blue", "retail-backend-green", "service"] {
            kubectl.apply(&retail.manifest(&format!("k8s/as-found/{file}.yaml")));
        }
        kubectl.run(["rollout", "status", "deployment/retail-backend-blue", "--timeout", "90s"]);
        retail
    }

    /// Leaves production only what is delivered there: for rows that release many versions, one behind the other.
    #[track_caller]
    pub fn without_staging(&self) -> &Self {
        self.edit(".github/workflows/release.yml", |text| {
            let (before, rest) = text.split_once("  staging-database:\n").expect("a job of that name");
            let (_, production) = rest.split_once("  production:\n").expect("a job of that name");
            let (first, rest) = production.split_once("      - uses: tagline/migrate@v1\n").expect("its first step");
            let (_, deploy) = rest.split_once("      - uses: tagline/deploy@v1\n").expect("its second step");
            let (deploy, _) = deploy.split_once("      - uses: tagline/deploy@v1\n").expect("its third step");
            let first = first.replace("needs: [ build, staging-verified ]", "needs: build");
            format!("{before}  production:\n{first}      - uses: tagline/deploy@v1\n{deploy}")
        });
        self.edit(".tagline/environments.yml", |text| {
            let after = |line: &&str| !line.trim_start().starts_with("after: ");
            text.split_inclusive('\n').filter(after).collect()
        });
        self
    }

    /// A manifest of the example, with images of this machine's registry.
    #[track_caller]
    pub fn manifest(&self, file: &str) -> String {
        let text = fs::read_to_string(self.repo.path().join(file)).expect("a file of the example");
        text.replace("registry.example.com", &self.ground.registry)
    }

    /// Sets variables of the environments file, all in one commit.
    #[track_caller]
    pub fn set(&self, variables: &[(&str, &str)]) -> &Self {
        self.edit(".tagline/environments.yml", |text| {
            let line = |line: &str| {
                let named = |(name, _): &&(&str, &str)| line.starts_with(&format!("  {name}: "));
                match variables.iter().find(named) {
                    Some((name, value)) => format!("  {name}: {value}\n"),
                    None => format!("{line}\n"),
                }
            };
            text.lines().map(line).collect()
        });
        self
    }

    /// Sets a secret of the repository.
    #[track_caller]
    pub fn secret(&self, name: &str, value: &str) {
        let mut command = self.tagline.command(["secret", "set", name]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("tagline is built");
        child.stdin.take().expect("piped").write_all(value.as_bytes()).expect("it reads the value");
        let out = child.wait_with_output().expect("our own child");
        assert!(out.status.success(), "secret set: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// Commits a version of all three components and tags it; the faults are the backend's.
    #[track_caller]
    pub fn tag(&self, version: &str, faults: &str) -> &Self {
        for component in COMPONENTS {
            let faults = if component == BACKEND { faults } else { "" };
            let text = format!("name = \"{component}\"\nversion = \"{version}\"\n[faults]\n{faults}\n");
            self.repo.write(&format!("{component}/release.toml"), text);
        }
        self.repo.commit(&format!("Version {version}"));
        self.repo.tag(&format!("v{version}"));
        self
    }

    /// Tags a version without faults and brings it to production's gate; the run.
    #[track_caller]
    pub fn to_the_gate(&self, version: &str) -> u64 {
        self.tag(version, "");
        self.run(version).code(3);
        self.newest()
    }

    /// The same, approved and being carried out.
    #[track_caller]
    pub fn start(&self, version: &str) -> (u64, JoinHandle<Outcome>) {
        let run = self.to_the_gate(version);
        self.approve();
        let tagline = self.tagline.clone();
        (run, std::thread::spawn(move || tagline.run(["resume"])))
    }

    /// The same to its end, which is good; under load of others.
    #[track_caller]
    pub fn deliver(&self, version: &str) -> u64 {
        let run = self.to_the_gate(version);
        self.approve();
        self.tagline.run(["resume"]).success();
        run
    }

    /// Waits until production's backend has reached a milestone; when.
    #[track_caller]
    pub fn reached(&self, run: u64, name: &str) -> Timestamp {
        let found = until(&format!("`{name}` of run {run}"), || {
            self.milestones(run, "production")
                .iter()
                .any(|one| one == name)
                .then(|| self.milestone(run, "production", name))
        });
        found["at"].as_str().expect("a milestone has a time").parse().expect("RFC 3339")
    }

    /// Sets faults of every pod of a version of production's backend.
    #[track_caller]
    pub fn fault(&self, version: &str, faults: &Value) {
        let chosen = |pod: &Value| {
            let marked = pod["metadata"]["annotations"]["tagline.dev/version"].as_str();
            let of_version = marked.map_or(version == "1.0.0", |marked| marked == version);
            of_version && pod["metadata"]["labels"]["app"] == BACKEND
        };
        fault::set(&self.kubectl(PRODUCTION), chosen, faults);
    }

    /// Requests to production, two in a hundred of them slow: fewer than one in twenty, as p95 is watched.
    #[track_caller]
    pub fn load(&self, path: &str) -> Load {
        let url = self.url(PRODUCTION, BACKEND);
        Load::of(&self.ground, &format!("{}{path}", url.trim_end_matches('/')), 500, "2%")
    }

    /// The name of the Deployment that production's Service selects, with its replicas.
    #[track_caller]
    pub fn live(&self) -> (String, i64) {
        let kubectl = self.kubectl(PRODUCTION);
        let selector = kubectl.get(["service", BACKEND])["spec"]["selector"].clone();
        let selects = |labels: &Value| {
            selector.as_object().is_some_and(|pairs| pairs.iter().all(|(key, value)| labels[key] == *value))
        };
        let mut pods = kubectl.all("pods");
        pods.retain(|pod| selects(&pod["metadata"]["labels"]) && pod["metadata"]["deletionTimestamp"].is_null());
        let hashes: Vec<&str> =
            pods.iter().filter_map(|pod| pod["metadata"]["labels"]["pod-template-hash"].as_str()).collect();
        let owner = |pod: &Value| {
            let name = pod["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default().to_owned();
            hashes.iter().find_map(|hash| name.strip_suffix(&format!("-{hash}")).map(str::to_owned)).unwrap_or(name)
        };
        let mut owners: Vec<String> = pods.iter().map(owner).collect();
        owners.dedup();
        let [one] = owners.as_slice() else { panic!("the Service selects pods of {owners:?}") };
        let replicas = kubectl.get(["deployment", one])["spec"]["replicas"].as_i64().unwrap_or(1);
        (one.clone(), replicas)
    }

    #[track_caller]
    fn namespace_of(&self, name: &str, database: &Database) {
        let kubectl = self.kubectl(name);
        let namespace = kubectl.namespace();
        kubectl.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).to_string());
        // A backup is tried in a database of its own.
        database.as_administrator(&format!("alter role {} createdb", database.name()));
        let who = format!("://{}:{}@", database.name(), database.password);
        let mut values: serde_json::Map<String, Value> =
            SECRETS.map(|name| (name.to_lowercase().replace('_', "-"), json!("a-value"))).into_iter().collect();
        values.insert("postgres-url".to_owned(), json!(database.url().replacen("://", &who, 1)));
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": BACKEND}, "stringData": values});
        kubectl.apply(&secret.to_string());
        // The node is this machine; the volume goes with the namespace of its name.
        let folder = self.scratch.join(&format!("backups-{name}"));
        fs::create_dir_all(&folder).expect("a folder in the scratch");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("our own folder");
        let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": folder}}});
        kubectl.apply(&volume.to_string());
    }
}

/// The end of an engine, with all that it said.
#[track_caller]
pub fn finish(engine: JoinHandle<Outcome>) -> Outcome {
    engine.join().expect("it ends within its limit")
}
