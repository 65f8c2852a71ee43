//! The link over scripted agents: nothing lost, nothing doubled, whatever happens to either side.

use std::fs;

use crate::support::{TOKEN, Told, drain, launch, spec};
use tagline_executor::{Executor, ExecutorError, Fake, Found, Hold, Launch, Link, LinkError, LinkEvent, Script};
use tagline_protocol::{AgentState, Conclusion, Record, Reply, Request, Stream};

struct Setting {
    _place: tempfile::TempDir,
    fake: Fake,
    executor: Executor,
    launch: Launch,
}

fn setting(script: Script) -> Setting {
    let place = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    fake.script("build", script);
    let executor = Executor::Fake(fake.clone());
    let launch = launch(&executor, place.path(), "/nowhere".into());
    Setting { _place: place, fake, executor, launch }
}

impl Setting {
    async fn launched(script: Script) -> Self {
        let setting = setting(script);
        let launched = setting.executor.launch(&setting.launch).await.unwrap();
        assert!(launched.new);
        setting
    }

    async fn link(&self, from: u64) -> Link {
        let link = Link::connect(&self.launch.folder, TOKEN, from).await;
        link.unwrap()
    }

    async fn start(&self, link: &Link) {
        link.start(spec(&self.executor, &[])).await.unwrap();
    }
}

fn log(number: usize) -> Record {
    Record::Log { step: Some(0), at: 0, stream: Stream::Output, lines: vec![format!("line {number}")], open: false }
}

fn numbered(count: usize) -> Script {
    (0..count).fold(Script::new(), |script, number| script.record(log(number)))
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line {number}")).collect()
}

#[tokio::test]
async fn a_job_is_told_from_start_to_result() {
    let script = Script::new().step("compile", &["one", "two"], Conclusion::Success).outputs(&[("version", "1.2.3")]);
    let setting = Setting::launched(script).await;
    let mut link = setting.link(0).await;
    assert_eq!(link.state(), Some(AgentState::Waiting));
    setting.start(&link).await;
    let told = drain(&mut link).await.unwrap();
    assert_eq!(told.lines(), ["one", "two"]);
    assert_eq!(told.result().unwrap().outputs["version"], "1.2.3");
    assert_eq!(link.next().await.unwrap(), LinkEvent::Closed);
    assert_eq!(setting.executor.find(&setting.launch.folder).await.unwrap(), Found::Dead);
}

#[tokio::test]
async fn links_dropped_mid_stream_lose_and_double_nothing() {
    const COUNT: usize = 500;
    let setting = Setting::launched(numbered(COUNT)).await;
    setting.start(&setting.link(0).await).await;
    let mut told = Told::default();
    // Ever longer stretches, each by a link of its own that is dropped in the middle.
    for stretch in 1.. {
        let mut link = setting.link(told.offset).await;
        let mut closed = false;
        for _ in 0..stretch {
            match link.next().await.unwrap() {
                LinkEvent::Record(record, offset) => {
                    told.records.push(record);
                    told.offset = offset;
                }
                LinkEvent::Closed => {
                    closed = true;
                    break;
                }
                LinkEvent::Request { .. } | LinkEvent::Withdraw { .. } => panic!("nothing is asked"),
            }
        }
        if closed {
            break;
        }
    }
    assert_eq!(told.lines(), expected(COUNT));
    assert!(told.result().is_some());
}

#[tokio::test]
async fn a_newer_link_takes_the_place_of_the_older() {
    let hold = Hold::new();
    let setting = Setting::launched(numbered(3).hold(&hold)).await;
    let mut older = setting.link(0).await;
    setting.start(&older).await;
    hold.reached().await;
    let mut newer = setting.link(0).await;
    assert_eq!(newer.state(), Some(AgentState::Running));
    let told = drain(&mut older).await.unwrap();
    assert_eq!(told.lines(), expected(3));
    hold.release();
    assert!(drain(&mut newer).await.unwrap().result().is_some());
}

#[tokio::test]
async fn an_agent_that_dies_mid_line_is_drained_to_its_last_whole_record() {
    let script = numbered(10).torn("{\"log\":{\"step\":0,\"li").die();
    let setting = Setting::launched(script).await;
    let mut link = setting.link(0).await;
    setting.start(&link).await;
    let told = drain(&mut link).await.unwrap();
    assert_eq!(told.lines(), expected(10));
    assert!(told.result().is_none());
    // The dead agent's folder tells the same again, and the rest of it to whoever has read a part.
    let mut dead = setting.link(0).await;
    assert_eq!(dead.state(), None);
    assert_eq!(drain(&mut dead).await.unwrap().lines(), expected(10));
    let mut nothing = setting.link(told.offset).await;
    assert_eq!(nothing.next().await.unwrap(), LinkEvent::Closed);
    assert!(matches!(nothing.kill().await, Err(LinkError::Gone)));
}

#[tokio::test]
async fn a_second_agent_goes_on_behind_the_first_ones_last_whole_line() {
    let setting = Setting::launched(numbered(2).torn("{\"log\":{").die()).await;
    setting.fake.script("build", numbered(2));
    let mut first = setting.link(0).await;
    setting.start(&first).await;
    let told = drain(&mut first).await.unwrap();
    // The script of the second launch is the second one.
    assert!(setting.executor.launch(&setting.launch).await.unwrap().new);
    let mut second = setting.link(told.offset).await;
    setting.start(&second).await;
    let again = drain(&mut second).await.unwrap();
    assert_eq!(again.lines(), expected(2));
    assert!(again.result().is_some());
    assert_eq!(setting.fake.launches().len(), 2);
}

#[tokio::test]
async fn a_damaged_line_does_not_hide_the_ones_behind_it() {
    let setting = setting(Script::new());
    setting.launch.folder.create().unwrap();
    let line = serde_json::to_string(&log(7)).unwrap();
    fs::write(setting.launch.folder.spool(), format!("{{\"log\n{line}\n")).unwrap();
    let mut link = setting.link(0).await;
    let told = drain(&mut link).await.unwrap();
    assert_eq!(told.lines(), ["line 7"]);
}

#[tokio::test]
async fn a_request_comes_again_until_it_is_answered() {
    let wanted =
        Request::Source { repository: String::new(), reference: String::new(), fetch_depth: 1, fetch_tags: false };
    let setting = Setting::launched(Script::new().ask(wanted.clone())).await;
    let mut first = setting.link(0).await;
    setting.start(&first).await;
    let asked = |event| match event {
        LinkEvent::Request { id, body } => Some((id, body)),
        _ => None,
    };
    let request = loop {
        if let Some(request) = asked(first.next().await.unwrap()) {
            break request;
        }
    };
    drop(first);
    let mut second = setting.link(0).await;
    let again = loop {
        if let Some(request) = asked(second.next().await.unwrap()) {
            break request;
        }
    };
    assert_eq!(request, again);
    assert_eq!(again.1, wanted);
    let source = Reply::Source { file: "source.tar".into(), commit: "c".into(), reference: "r".into() };
    second.reply(again.0, Ok(source)).await.unwrap();
    let told = drain(&mut second).await.unwrap();
    assert_eq!(told.result().unwrap().conclusion, Conclusion::Success);
}

#[tokio::test]
async fn cancel_ends_a_job_and_kill_also_a_deaf_one() {
    for (script, deaf) in [(Script::new(), false), (Script::new().deaf(), true)] {
        let hold = Hold::new();
        let setting = Setting::launched(script.hold(&hold)).await;
        let mut link = setting.link(0).await;
        setting.start(&link).await;
        hold.reached().await;
        link.cancel("cancelled by ana@example.com").await.unwrap();
        if deaf {
            link.commands().send(&tagline_protocol::Command::Kill).await.unwrap();
        }
        let told = drain(&mut link).await.unwrap();
        assert_eq!(told.result().unwrap().conclusion, Conclusion::Cancelled);
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_second_launch_finds_the_first() {
    let hold = Hold::new();
    let setting = Setting::launched(Script::new().hold(&hold)).await;
    let refused = Link::connect(&setting.launch.folder, "guess", 0).await;
    assert!(matches!(refused, Err(LinkError::Refused)));
    assert!(!setting.executor.launch(&setting.launch).await.unwrap().new);
    let other = Launch { token: "other".into(), ..setting.launch.clone() };
    let taken = setting.executor.launch(&other).await;
    assert!(matches!(taken, Err(ExecutorError::Taken { .. })));
    assert_eq!(setting.fake.launches().len(), 1);
}

#[tokio::test]
async fn a_folder_deeper_than_a_sockets_address_is_reached() {
    let mut setting = setting(Script::new());
    let deep = setting.launch.folder.path().join("d".repeat(120));
    setting.launch.folder = tagline_executor::JobFolder::new(deep);
    setting.executor.launch(&setting.launch).await.unwrap();
    let mut link = setting.link(0).await;
    assert_eq!(link.state(), Some(AgentState::Waiting));
    setting.start(&link).await;
    assert!(drain(&mut link).await.unwrap().result().is_some());
}

#[tokio::test]
async fn logs_that_nobody_shows_are_passed_over() {
    const COUNT: usize = 20_000;
    let setting = setting(Script::new());
    setting.launch.folder.create().unwrap();
    let mut spool = String::new();
    for number in 0..COUNT {
        spool.push_str(&serde_json::to_string(&log(number)).unwrap());
        spool.push('\n');
    }
    let last = Record::JobStarted { at: 1, attempt: 1 };
    spool.push_str(&serde_json::to_string(&last).unwrap());
    spool.push('\n');
    fs::write(setting.launch.folder.spool(), &spool).unwrap();
    let mut link = setting.link(0).await;
    link.show_logs(false);
    let length = spool.len() as u64;
    assert_eq!(link.next().await.unwrap(), LinkEvent::Record(last, length));
    assert_eq!(link.next().await.unwrap(), LinkEvent::Closed);
    assert_eq!(link.offset(), length);
}

#[tokio::test]
async fn an_agent_killed_with_a_link_open_closes_it() {
    let hold = Hold::new();
    let setting = Setting::launched(numbered(1).hold(&hold)).await;
    let mut link = setting.link(0).await;
    setting.start(&link).await;
    hold.reached().await;
    setting.executor.kill(&setting.launch.folder).await.unwrap();
    let told = drain(&mut link).await.unwrap();
    assert_eq!(told.lines(), expected(1));
    assert!(told.result().is_none());
    setting.executor.clean(&setting.launch.folder).await.unwrap();
    assert_eq!(setting.executor.find(&setting.launch.folder).await.unwrap(), Found::Never);
    assert!(setting.launch.folder.spool().exists());
}

#[tokio::test]
async fn a_refused_launch_says_why() {
    let setting = setting(Script::refuse("no space"));
    let error = setting.executor.launch(&setting.launch).await.unwrap_err();
    assert_eq!(error.to_string(), "no space");
}
