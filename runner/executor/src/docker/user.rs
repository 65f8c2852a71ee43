//! Who the steps of a container job run as: as its options say, else the image's `USER`, as on GitHub.
//!
//! The agent stays root, so the name is looked up here, in the image's own `/etc/passwd` and `/etc/group`. An agent that is
//! not root can become nobody else.

use tagline_protocol::StepUser;

use super::daemon::{Daemon, ROOT};
use crate::error::ExecutorError;
use crate::launch::{ImageRef, Launch};

/// The user that `container.options` ask for; `agent` is the agent's, as `UID:GID`.
///
/// # Errors
/// [`ExecutorError::User`] when the agent cannot become it.
pub(super) fn asked(launch: &Launch, agent: &str) -> Result<Option<StepUser>, ExecutorError> {
    let Some(user) = launch.limits.user else { return Ok(None) };
    if agent == ROOT {
        return Ok(Some(user));
    }
    let wanted = format!("{}:{}", user.uid, user.gid);
    if wanted == agent {
        return Ok(None);
    }
    Err(ExecutorError::User { key: launch.key.clone(), wanted, agent: agent.to_owned() })
}

/// The user of an image, of which `container` was made; none for root.
///
/// # Errors
/// [`ExecutorError::Image`] when the image names a user that it does not have.
pub(super) async fn of_image(daemon: &Daemon, image: &str, container: &str) -> Result<Option<StepUser>, ExecutorError> {
    let Some(text) = daemon.image_user(image).await? else { return Ok(None) };
    let passwd = daemon.file_of(container, "/etc/passwd").await?;
    let group = daemon.file_of(container, "/etc/group").await?;
    let user = resolve(&text, &passwd, &group);
    let wrong = |why| ExecutorError::Image { image: ImageRef::Reference(image.to_owned()), why };
    Ok(Some(user.map_err(wrong)?).filter(|user| user.uid != 0))
}

/// Reads `USER[:GROUP]`, names or numbers, as Docker does: without a group it is the user's own, or root's where the image
/// does not know the number.
fn resolve(text: &str, passwd: &str, group: &str) -> Result<StepUser, String> {
    let (user, wanted) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let entry = entry(passwd, user);
    let number = |entry: &[&str], at: usize| entry.get(at).and_then(|field| field.parse().ok());
    let uid = entry.as_deref().and_then(|entry| number(entry, 2)).or_else(|| user.parse().ok());
    let uid = uid.ok_or_else(|| format!("its USER is `{text}`, and it has no user `{user}`"))?;
    let gid = match wanted.filter(|group| !group.is_empty()) {
        None => entry.as_deref().and_then(|entry| number(entry, 3)).unwrap_or(0),
        Some(name) => {
            let found = self::entry(group, name).and_then(|entry| number(&entry, 2));
            let gid = found.or_else(|| name.parse().ok());
            gid.ok_or_else(|| format!("its USER is `{text}`, and it has no group `{name}`"))?
        }
    };
    Ok(StepUser { uid, gid })
}

/// The fields of the line of a user or group, by name or number.
fn entry<'t>(table: &'t str, wanted: &str) -> Option<Vec<&'t str>> {
    let lines = || table.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|fields| fields.len() >= 3);
    lines().find(|fields| fields[0] == wanted).or_else(|| lines().find(|fields| fields[2] == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::create::tests::launch;

    #[test]
    fn an_agent_that_is_not_root_stays_who_it_is() {
        let mut launch = launch();
        let user = StepUser { uid: 1000, gid: 50 };
        assert_eq!(asked(&launch, "1000:50").unwrap(), None);
        launch.limits.user = Some(user);
        assert_eq!(asked(&launch, ROOT).unwrap(), Some(user));
        assert_eq!(asked(&launch, "1000:50").unwrap(), None);
        let error = asked(&launch, "1000:1000").unwrap_err();
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("`options: --user 1000:50`"), "{error}");
    }

    #[test]
    fn users_are_names_or_numbers_of_the_image() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\n";
        let group = "root:x:0:\nstaff:x:50:node\n";
        let found = |text| resolve(text, passwd, group).map(|user| (user.uid, user.gid));
        assert_eq!(found("node"), Ok((1000, 1001)));
        assert_eq!(found("1000"), Ok((1000, 1001)));
        assert_eq!(found("node:staff"), Ok((1000, 50)));
        assert_eq!(found("1234"), Ok((1234, 0)));
        assert_eq!(found("1234:5"), Ok((1234, 5)));
        assert_eq!(found("0"), Ok((0, 0)));
        assert_eq!(found("ana").unwrap_err(), "its USER is `ana`, and it has no user `ana`");
        assert_eq!(found("node:no").unwrap_err(), "its USER is `node:no`, and it has no group `no`");
    }
}
