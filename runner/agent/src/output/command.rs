//! Workflow commands: `::name key=value::data` at a line's start, and the older `##[name key=value;]data` anywhere.

use indexmap::IndexMap;

/// The commands that are carried out. A line that names another one is plain output.
pub const REGISTERED: [&str; 15] = [
    "debug",
    "notice",
    "warning",
    "error",
    "group",
    "endgroup",
    "add-mask",
    "stop-commands",
    "echo",
    "add-matcher",
    "remove-matcher",
    "save-state",
    "set-output",
    "set-env",
    "add-path",
];

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowCommand {
    /// As registered.
    pub name: String,
    /// Properties with a value, by name as written.
    pub properties: IndexMap<String, String>,
    /// What follows.
    pub data: String,
}

/// The command on a line, if it names one of `registered`.
pub fn parse(line: &str, registered: &[&str]) -> Option<WorkflowCommand> {
    parse_v2(line, registered).or_else(|| parse_v1(line, registered))
}

/// `::name key=value,key=value::data`, after white space.
pub fn parse_v2(line: &str, registered: &[&str]) -> Option<WorkflowCommand> {
    let rest = line.trim_start().strip_prefix("::")?;
    let (head, data) = rest.split_once("::")?;
    let (name, properties) = head_of(head, registered, ',', unescape_property)?;
    Some(WorkflowCommand { name, properties, data: unescape(data, &[("%0D", "\r"), ("%0A", "\n"), ("%25", "%")]) })
}

/// `##[name key=value;key=value]data`, after anything.
pub fn parse_v1(line: &str, registered: &[&str]) -> Option<WorkflowCommand> {
    let (_, rest) = line.split_once("##[")?;
    let (head, data) = rest.split_once(']')?;
    let (name, properties) = head_of(head, registered, ';', unescape_v1)?;
    Some(WorkflowCommand { name, properties, data: unescape_v1(data) })
}

fn head_of(
    head: &str,
    registered: &[&str],
    separator: char,
    decode: fn(&str) -> String,
) -> Option<(String, IndexMap<String, String>)> {
    let (name, rest) = head.split_once(' ').unwrap_or((head, ""));
    let name = registered.iter().find(|known| known.eq_ignore_ascii_case(name))?;
    let properties = rest
        .trim()
        .split(separator)
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .map(|(key, value)| (key.trim().to_owned(), decode(value)))
        .collect();
    Some(((*name).to_owned(), properties))
}

fn unescape_property(text: &str) -> String {
    let codes = [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")];
    unescape(text, &codes)
}

fn unescape_v1(text: &str) -> String {
    let codes = [("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%")];
    unescape(text, &codes)
}

/// In the order given, `%25` last, so that an escaped percent sign is not taken for the start of another code.
fn unescape(text: &str, codes: &[(&str, &str)]) -> String {
    let mut plain = text.to_owned();
    for (code, character) in codes {
        if plain.contains(code) {
            plain = plain.replace(code, character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_names_at_the_start_are_commands() {
        assert!(parse("::set-output name=a::b", &REGISTERED).is_some());
        assert!(parse("  ::SET-OUTPUT name=a::b", &REGISTERED).is_some());
        assert!(parse("x ::set-output name=a::b", &REGISTERED).is_none());
        assert!(parse("::made-up::b", &REGISTERED).is_none());
        assert!(parse("std::cout << a::b", &REGISTERED).is_none());
        assert!(parse("::error", &REGISTERED).is_none());
    }

    #[test]
    fn properties_and_data_are_decoded_once() {
        let command = parse("::error file=a%2Cb,line=3,title=::100%25 %0A%250A", &REGISTERED).unwrap();
        assert_eq!(command.properties["file"], "a,b");
        assert_eq!(command.properties["line"], "3");
        assert_eq!(command.properties.get("title"), None);
        assert_eq!(command.data, "100% \n%0A");
    }
}
