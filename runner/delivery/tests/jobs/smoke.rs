//! Jobs as smoke tests, on the test cluster.

use std::time::{Duration, Instant};

use crate::common::{Link, Space, image, service, space};
use crate::support::site;
use serde_json::{Value, json};
use tagline_delivery::check::smoke::{JobsFor, SmokeError, SmokeReport, SmokeRow, run_jobs, templates};
use tagline_delivery::cluster::{Filter, Labels};
use tagline_delivery::inputs::{ImageInput, JobSource};
use tagline_delivery::{Object, Site, Stop};

/// A namespace, and what is tested there by run 7.
struct Stage {
    space: Space,
    site: Site,
    timeout: Duration,
    _tree: tempfile::TempDir,
}

impl Stage {
    async fn new(name: &str) -> Option<Self> {
        let space = space(name).await?;
        let tree = tempfile::tempdir().unwrap();
        let site = site(&space, tree.path(), &[]);
        Some(Self { space, site, timeout: Duration::from_mins(1), _tree: tree })
    }

    async fn run(&self, job: &Object, link: &Link) -> Result<SmokeReport, SmokeError> {
        let release = JobsFor { unit: "shop", version: "1.2.3", site: &self.site, timeout: self.timeout };
        run_jobs(std::slice::from_ref(job), &release, &self.space.cluster, link).await
    }

    /// The row of a Job that fails, by a new engine.
    async fn fails(&self, job: &Object) -> SmokeRow {
        failed(self.run(job, &Link::new()).await)
    }

    async fn jobs(&self) -> Vec<Object> {
        self.space.cluster.list("batch/v1", "Job", &Labels::new()).await.unwrap()
    }

    async fn pods(&self) -> Vec<Object> {
        self.space.cluster.pods(&Labels::new()).await.unwrap()
    }

    /// Tells the action to end when a pod runs.
    async fn stop(&self, link: &Link, stop: Stop) {
        let mut pods = self.space.cluster.watch("v1", "Pod", Filter::default()).await.unwrap();
        while !pods.next().await.unwrap().iter().any(|pod| pod.text("/status/phase") == "Running") {}
        link.end(stop);
    }
}

fn failed(report: Result<SmokeReport, SmokeError>) -> SmokeRow {
    match report {
        Err(SmokeError::Failed(report)) => report.first_failure().unwrap().clone(),
        other => panic!("{other:?}"),
    }
}

fn container(name: &str, script: &str) -> Value {
    json!({"name": name, "image": image(), "command": ["sh", "-c", script],
        "resources": {"limits": {"memory": "64Mi"}}})
}

/// A suspended CronJob as a unit has it.
fn cron_job(containers: &[Value]) -> Object {
    let labels = json!({"app": "checks", "tagline.dev/release": "v1-2-3-12345678", "tagline.dev/unit": "shop"});
    Object(json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "checks"},
        "spec": {"suspend": true, "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"backoffLimit": 6, "template": {
            "metadata": {"labels": labels},
            "spec": {"restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 1, "containers": containers},
        }}}},
    }))
}

fn job(script: &str) -> Object {
    cron_job(&[container("main", script)])
}

#[tokio::test]
async fn the_exit_code_is_the_verdict_and_twice_is_once() {
    let Some(mut stage) = Stage::new("smoke-job").await else { return };
    let (good, link) = (job("echo \"all well with $TAGLINE_VERSION\""), Link::new());
    let report = stage.run(&good, &link).await.unwrap();
    let [row] = report.rows.as_slice() else { panic!("{report:?}") };
    assert!(row.passed && row.place.starts_with("Job/checks-v1-2-3-") && row.check == "checks", "{row:?}");
    let files = link.files.lock().unwrap().clone();
    let name = row.place.trim_start_matches("Job/");
    assert_eq!(files, [(format!("job-{name}.log"), b"all well with 1.2.3\n".to_vec())]);
    assert!(link.said().contains(&"all well with 1.2.3".to_owned()), "{:?}", link.said());
    let pods = stage.pods().await;
    let labels = pods[0].labels();
    assert!(labels["app"] == "checks" && labels["tagline.dev/job"] == "smoke", "{labels:?}");
    assert!(!labels.contains_key("tagline.dev/release") && !labels.contains_key("tagline.dev/unit"), "{labels:?}");

    // The engine was killed before the step's end was written down.
    let next = Link::new();
    assert_eq!(stage.run(&good, &next).await.unwrap().rows[0].place, row.place);
    assert_eq!((stage.jobs().await.len(), next.files.lock().unwrap().clone()), (1, files));
    stage.site.attempt = 2;
    assert_ne!(stage.run(&good, &Link::new()).await.unwrap().rows[0].place, row.place);

    let bad = job("echo FAIL tenant A sees B; exit 3");
    let row = stage.fails(&bad).await;
    assert_eq!(row.why, "exit code 3: FAIL tenant A sees B");
    let again = stage.fails(&bad).await;
    assert_eq!((again.place, again.why), (row.place, row.why));
    assert_eq!(stage.jobs().await.len(), 3);
}

#[tokio::test]
async fn a_job_that_is_killed_for_its_memory_says_so_with_its_limit() {
    let Some(stage) = Stage::new("smoke-oom").await else { return };
    let hungry = job("echo started; exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    let row = stage.fails(&hungry).await;
    let begin = "exit code 137: a container was killed at its memory limit 64Mi: checks-";
    assert!(row.why.starts_with(begin) && row.why.ends_with(" OOMKilled once"), "{row:?}");
    let failure = SmokeError::Failed(SmokeReport { rows: vec![row] }).failure();
    assert!(failure.next.contains("raise resources.limits.memory"), "{failure}");
}

#[tokio::test]
async fn every_container_has_its_log_and_the_one_that_failed_its_word() {
    let Some(stage) = Stage::new("smoke-several").await else { return };
    let long = container(
        "api",
        "i=0; while [ $i -lt 30000 ]; do echo \"line $i of a log that is too long to keep\"; i=$((i+1)); done",
    );
    let several = cron_job(&[long, container("web", "echo the web is away; exit 2"), container("admin", "echo fine")]);
    let link = Link::new();
    let row = failed(stage.run(&several, &link).await);
    assert_eq!(row.why, "exit code 2: the web is away");
    assert!(link.said().contains(&"web: the web is away".to_owned()), "only the first is followed");
    let files = link.files.lock().unwrap().clone();
    let text = String::from_utf8(files[0].1.clone()).unwrap();
    let parts: Vec<&str> = text.split("==> ").skip(1).collect();
    let [admin, api, web] = parts.as_slice() else { panic!("{} parts", parts.len()) };
    let (first, last) = (api.lines().nth(1).unwrap(), api.lines().last().unwrap());
    assert!(last.starts_with("line 29999 of") && api.len() <= (1 << 20) + 100, "{} {first} {last}", api.len());
    assert!(!first.starts_with("line 0 of"), "{first}");
    assert!(web.ends_with(" web\nthe web is away\n") && admin.ends_with(" admin\nfine\n"), "{web} {admin}");
}

#[tokio::test]
async fn a_job_that_is_late_is_gone_before_anything_else() {
    let Some(mut stage) = Stage::new("smoke-late").await else { return };
    stage.timeout = Duration::from_secs(5);
    let link = Link::new();
    let row = failed(stage.run(&job("echo begun; sleep 600"), &link).await);
    assert_eq!(row.why, "it did not end within 5s: begun");
    assert_eq!((stage.jobs().await.len(), stage.pods().await.len()), (0, 0));
    assert_eq!(link.files.lock().unwrap()[0].1, b"begun\n");
}

#[tokio::test]
async fn a_cancelled_job_is_gone_and_that_of_an_engine_that_ends_is_gone_on_with() {
    let Some(stage) = Stage::new("smoke-stop").await else { return };
    let slow = job("echo begun; sleep 20; echo done");
    let link = Link::new();
    let cancelled = Stop::Cancelled("asked".to_owned());
    let (ended, ()) = tokio::join!(stage.run(&slow, &link), stage.stop(&link, cancelled.clone()));
    assert!(matches!(&ended, Err(SmokeError::Stopped(stop)) if *stop == cancelled), "{ended:?}");
    assert_eq!((stage.jobs().await.len(), stage.pods().await.len()), (0, 0));

    let link = Link::new();
    let (ended, ()) = tokio::join!(stage.run(&slow, &link), stage.stop(&link, Stop::EngineEnds));
    assert!(matches!(ended, Err(SmokeError::Stopped(Stop::EngineEnds))), "{ended:?}");
    let left = stage.jobs().await;
    let report = stage.run(&slow, &Link::new()).await.unwrap();
    assert_eq!(report.rows[0].place, format!("Job/{}", left[0].name()));
    assert_eq!((left.len(), stage.jobs().await.len()), (1, 1));
}

#[tokio::test]
async fn a_job_that_cannot_start_ends_early() {
    let Some(mut stage) = Stage::new("smoke-image").await else { return };
    stage.timeout = Duration::from_mins(5);
    let mut container = container("main", "true");
    container["image"] = image().replace("busybox:latest", "nothing:1").into();
    let start = Instant::now();
    let row = stage.fails(&cron_job(&[container])).await;
    assert!(row.why.starts_with("it cannot start: image ") && row.why.contains("not found in "), "{row:?}");
    assert!(start.elapsed() < Duration::from_mins(2), "{:?}", start.elapsed());
    assert_eq!((stage.jobs().await.len(), stage.pods().await.len()), (0, 0));
}

#[tokio::test]
async fn a_job_whose_pods_would_get_traffic_is_refused_before_anything_is_made() {
    let Some(stage) = Stage::new("smoke-traffic").await else { return };
    let (image, own) = (format!("r/busybox@sha256:{}", "a".repeat(64)), image());
    let image = ImageInput::parse(&format!("{}={image}", own.rsplit_once(':').unwrap().0)).unwrap();
    stage.space.apply(job("true").0).await;
    let read = async || {
        let sources = [JobSource::CronJob("checks".to_owned())];
        templates(&sources, &stage.site, &[], std::slice::from_ref(&image), &stage.space.cluster).await.unwrap()
    };
    assert_eq!(read().await.unwrap().len(), 1);
    stage.space.apply(service("shop", &json!({"app": "checks"}))).await;
    let problems = read().await.unwrap_err();
    assert!(problems[0].starts_with("Service/shop selects the pods of CronJob/checks: "), "{problems:?}");
}
