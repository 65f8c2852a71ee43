//! Names of artifacts and of the files in them, by the rules of GitHub's artifact toolkit.

use super::ArtifactError;

/// Longest artifact name, in bytes: it becomes the name of a folder.
const NAME_MAX: usize = 255;
const FORBIDDEN_IN_FILES: &[char] = &['"', ':', '<', '>', '|', '*', '?', '\r', '\n'];

/// Accepts a name for an artifact, or says what is wrong with it.
pub fn check_name(name: &str) -> Result<(), ArtifactError> {
    let refuse = |why: String| Err(ArtifactError::Name { name: name.to_owned(), why });
    if name.is_empty() || name == "." || name == ".." {
        return refuse("it does not name anything".into());
    }
    if name.len() > NAME_MAX {
        return refuse("it is longer than 255 bytes".into());
    }
    match name.chars().find(|one| !allowed_in_name(*one)) {
        Some(one) => refuse(format!("it holds `{}`", one.escape_default())),
        None => Ok(()),
    }
}

fn allowed_in_name(one: char) -> bool {
    !matches!(one, '/' | '\\' | '\0') && !FORBIDDEN_IN_FILES.contains(&one)
}

/// The first character of a file's path that artifacts cannot hold, as other systems cannot write it.
pub(super) fn forbidden_in_file(path: &str) -> Option<char> {
    path.chars().find(|one| FORBIDDEN_IN_FILES.contains(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_their_folder_are_refused() {
        for bad in ["../x", "a/b", "a\\b", "..", ".", "", "a:b", "a*", "a\nb", "a\0b", "<a", "a|b", "\"a"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_name(&"x".repeat(256)).is_err());
        for good in ["dist", "my artifact", "v1.2.3..rc", ".hidden", "žąsis", &"x".repeat(255)] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
    }
}
