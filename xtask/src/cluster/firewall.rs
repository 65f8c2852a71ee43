//! The rules of the cluster: kube-proxy's chains and one of ours. Docker's rules are not touched.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::network::BRIDGE;
use crate::shell;

/// Our chain: pods reach pods; what kube-proxy did not take from them is refused.
const CHAIN: &str = "TAGLINE-CLUSTER";
/// Chains with these beginnings are the cluster's.
const OURS: [&str; 3] = ["KUBE-", "CNI-", "TAGLINE-"];
/// Programs of both families, each with that which takes rules in one transaction.
const FAMILIES: [&str; 2] = ["iptables", "ip6tables"];

fn run(program: &str, args: &[&str]) -> Result<String> {
    shell::output(Command::new(program).args(["-w", "5"]).args(args))
}

/// Lets pods reach each other (Docker's policy drops what is forwarded) and nobody else.
pub(super) fn up() -> Result<()> {
    if !here() {
        run("iptables", &["-N", CHAIN])?;
        run("iptables", &["-A", CHAIN, "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT"])?;
        run("iptables", &["-A", CHAIN, "-i", BRIDGE, "-j", "REJECT"])?;
    }
    if run("iptables", &["-C", "FORWARD", "-j", CHAIN]).is_err() {
        // At the end: kube-proxy's refusals for Services without endpoints come first.
        run("iptables", &["-A", "FORWARD", "-j", CHAIN])?;
    }
    Ok(())
}

/// Removes every chain of the cluster and the rules that lead there, each family in one transaction.
pub(super) fn down() -> Result<()> {
    for family in FAMILIES {
        let Some(rules) = saved(family) else { continue };
        let script = removal(&rules);
        if !script.is_empty() {
            restore(family, &script)?;
        }
    }
    Ok(())
}

/// Whether the chain that only this cluster has is there.
pub(super) fn here() -> bool {
    run("iptables", &["-S", CHAIN]).is_ok()
}

/// The chains of the cluster that are there.
pub(super) fn chains() -> Vec<String> {
    let mut found = Vec::new();
    for family in FAMILIES {
        let rules = saved(family).unwrap_or_default();
        let names = rules.lines().filter_map(|line| line.strip_prefix(':')).filter(|line| ours(line));
        found.extend(names.map(|line| format!("{family} {}", line.split(' ').next().unwrap_or(line))));
    }
    found
}

/// All rules; none where the family is not to be had.
fn saved(family: &str) -> Option<String> {
    shell::output(&mut Command::new(format!("{family}-save"))).ok()
}

fn ours(chain: &str) -> bool {
    OURS.iter().any(|beginning| chain.starts_with(beginning))
}

/// The script that takes our chains out of `rules`, the output of `iptables-save`; empty where there are none.
fn removal(rules: &str) -> String {
    let mut script = String::new();
    let mut table = Vec::new();
    for line in rules.lines() {
        if line.starts_with('*') {
            table = vec![line];
        } else if line == "COMMIT" {
            script.push_str(&table_removal(&table));
        } else {
            table.push(line);
        }
    }
    script
}

/// The same for one table: its head, its chains (`:NAME …`) and its rules (`-A CHAIN …`).
fn table_removal(lines: &[&str]) -> String {
    let chain = |line: &&str| line.strip_prefix(':').and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let chains: Vec<String> = lines.iter().filter_map(chain).filter(|name| ours(name)).collect();
    if chains.is_empty() {
        return String::new();
    }
    let mut script = vec![lines[0].to_owned()];
    let rules = lines.iter().filter_map(|line| line.strip_prefix("-A "));
    script.extend(rules.filter(|rule| leads_to_ours(rule)).map(|rule| format!("-D {rule}")));
    script.extend(chains.iter().map(|name| format!("-F {name}")));
    script.extend(chains.iter().map(|name| format!("-X {name}")));
    script.extend(["COMMIT".to_owned(), String::new()]);
    script.join("\n")
}

/// Whether the rule stands in a chain of others and leads to one of ours.
fn leads_to_ours(rule: &str) -> bool {
    let target = rule.split_once(" -j ").or_else(|| rule.split_once(" -g ")).map_or("", |(_, target)| target);
    !ours(rule) && ours(target)
}

fn restore(family: &str, script: &str) -> Result<()> {
    let mut command = Command::new(format!("{family}-restore"));
    let mut child = command
        .args(["--noflush", "-w", "5"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {family}-restore"))?;
    child.stdin.take().expect("piped above").write_all(script.as_bytes())?;
    let out = child.wait_with_output()?;
    ensure!(out.status.success(), "{family}-restore: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "\
*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SEP-ABC - [0:0]
-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A KUBE-POSTROUTING -j KUBE-SEP-ABC
COMMIT
";

    #[test]
    fn only_the_cluster_s_chains_are_removed() {
        let expected = "\
*nat
-D POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
-F KUBE-POSTROUTING
-F KUBE-SEP-ABC
-X KUBE-POSTROUTING
-X KUBE-SEP-ABC
COMMIT
";
        assert_eq!(removal(RULES), expected);
    }

    #[test]
    fn nothing_is_removed_where_there_is_no_cluster() {
        assert_eq!(removal("*filter\n:DOCKER - [0:0]\n-A FORWARD -j DOCKER\nCOMMIT\n"), "");
    }
}
