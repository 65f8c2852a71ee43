//! The new values.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::plan::RotatePlan;
use super::{ROTATES, ROTATION};
use crate::Object;

/// What passwords are made of: nothing that a URL, a shell or SQL would read.
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// So many random letters and digits, from the operating system.
fn random(length: u32) -> std::io::Result<String> {
    let mut source = File::open("/dev/urandom")?;
    let mut text = String::new();
    while text.len() < length as usize {
        let mut byte = [0];
        source.read_exact(&mut byte)?;
        // The last bytes are left out: each letter is as likely as any other.
        if byte[0] < 248 {
            text.push(char::from(LETTERS[usize::from(byte[0]) % LETTERS.len()]));
        }
    }
    Ok(text)
}

/// The values of a Secret; those that are no text are left out.
pub(crate) fn values(secret: &Object) -> BTreeMap<String, String> {
    let decode = |text: &str| String::from_utf8(STANDARD.decode(text).ok()?).ok();
    let all = secret.texts("/data").into_iter();
    all.filter_map(|(key, value)| Some((key, decode(&value)?))).collect()
}

/// Whether the keys that are not changed can follow the changed ones; which one cannot, and what to give.
pub(super) fn follows(live: &Object, changed: &[&str], account: Option<&str>) -> Result<(), String> {
    let old = values(live);
    if let Some(account) = account.filter(|account| !old.contains_key(*account)) {
        return Err(format!("key {account} is no text"));
    }
    // What the new values are does not matter here.
    let new = changed.iter().copied().chain(account).map(|key| (key.to_owned(), String::new())).collect();
    derived(&old, &new, account).map(drop)
}

/// The new Secret: all keys of the old one, with new values where they are asked for. `others`: Secrets to copy from. It is
/// not in force yet.
pub(super) fn make(plan: &RotatePlan, live: &Object, others: &[Object], rotation: &str) -> Result<Object, String> {
    let old = values(live);
    let mut new = BTreeMap::new();
    for (key, length) in &plan.inputs.generate {
        new.insert(key.clone(), random(*length).map_err(|error| format!("no random numbers: {error}"))?);
    }
    for (key, name, from) in &plan.copied {
        let found = others.iter().find(|one| one.name() == name).and_then(|one| values(one).remove(from));
        new.insert(key.clone(), found.ok_or_else(|| format!("Secret {name} has no text {from} any more"))?);
    }
    if let Some(account) = &plan.account {
        let other =
            old.get(account).map(|name| other_account(name)).ok_or_else(|| format!("key {account} is no text"))?;
        new.entry(account.clone()).or_insert(other);
    }
    let derived = derived(&old, &new, plan.account.as_deref())?;
    let mut data = live.0["data"].as_object().cloned().unwrap_or_default();
    for (key, value) in new.into_iter().chain(derived) {
        data.insert(key, STANDARD.encode(value).into());
    }
    let digest = hex::encode(Sha256::digest(Value::from(data.clone()).to_string()));
    let (base, kind) = (&plan.inputs.secret, live.0["type"].clone());
    Ok(Object(json!({
        "apiVersion": "v1", "kind": "Secret", "type": kind, "immutable": true,
        "metadata": {
            "name": format!("{base}-{}", &digest[..10]), "namespace": live.namespace(),
            "labels": {ROTATES: base, ROTATION: rotation},
        },
        "data": data,
    })))
}

/// The two in turn: `shop`, `shop_2`.
fn other_account(name: &str) -> String {
    name.strip_suffix("_2").map_or_else(|| format!("{name}_2"), str::to_owned)
}

/// Other keys that hold the old values inside of an address: `postgres://USER:PASSWORD@…`.
fn derived(
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
    account: Option<&str>,
) -> Result<BTreeMap<String, String>, String> {
    let mut derived = BTreeMap::new();
    for (key, value) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
        let mut text = value.clone();
        if let Some((begin, end)) = credentials(value) {
            let (user, password) = value[begin..end].split_once(':').unwrap_or((&value[begin..end], ""));
            let replaced = |old_part: &str, is_account: bool| {
                let same = |(key, _): &(&String, &String)| old.get(*key).is_some_and(|old| old == old_part);
                let fits = new.iter().filter(|(key, _)| (Some(key.as_str()) == account) == is_account).find(same);
                fits.map_or(old_part.to_owned(), |(_, new)| new.clone())
            };
            text =
                format!("{}{}:{}{}", &value[..begin], replaced(user, true), replaced(password, false), &value[end..]);
        }
        for (changed, _) in new.iter().filter(|(name, _)| Some(name.as_str()) != account) {
            if old.get(changed).is_some_and(|old| old.len() >= 8 && text.contains(old.as_str())) {
                return Err(format!(
                    "key {key} holds the old value of {changed} too; give its new value, as values: {key}=secret/NAME/KEY"
                ));
            }
        }
        if text != *value {
            derived.insert(key.clone(), text);
        }
    }
    Ok(derived)
}

/// Where `USER:PASSWORD` stands in an address.
fn credentials(text: &str) -> Option<(usize, usize)> {
    let begin = text.find("://")? + 3;
    let end = begin + text[begin..].find('/').unwrap_or(text.len() - begin);
    let at = begin + text[begin..end].rfind('@')?;
    text[begin..at].contains(':').then_some((begin, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn addresses_follow_account_and_password() {
        let old = map(&[
            ("username", "shop"),
            ("password", "old-secret"),
            ("url", "jdbc:postgresql://shop:old-secret@db/shop"),
            ("host", "shop"),
        ]);
        let new = map(&[("username", "shop_2"), ("password", "new")]);
        assert_eq!(
            derived(&old, &new, Some("username")).unwrap(),
            map(&[("url", "jdbc:postgresql://shop_2:new@db/shop")])
        );
        let hidden = map(&[("password", "old-secret"), ("dsn", "user=shop password=old-secret")]);
        assert!(derived(&hidden, &new, None).unwrap_err().contains("key dsn holds the old value of password too"));
    }

    #[test]
    fn a_key_that_cannot_follow_is_known_beforehand() {
        let secret = |dsn: &str| {
            let data = [("username", "shop"), ("password", "old-secret"), ("dsn", dsn)];
            let data: serde_json::Map<String, Value> =
                data.iter().map(|(key, value)| ((*key).to_owned(), STANDARD.encode(value).into())).collect();
            Object(json!({"kind": "Secret", "data": data}))
        };
        let said = follows(&secret("user=shop password=old-secret"), &["password"], Some("username"));
        assert!(said.unwrap_err().contains("give its new value, as values: dsn=secret/NAME/KEY"));
        assert_eq!(follows(&secret("postgres://shop:old-secret@db/shop"), &["password"], Some("username")), Ok(()));
        assert_eq!(follows(&secret("user=shop password=old-secret"), &["password", "dsn"], Some("username")), Ok(()));
        assert_eq!(follows(&secret(""), &["password"], Some("user")), Err("key user is no text".to_owned()));
    }

    #[test]
    fn accounts_take_turns_and_passwords_are_random() {
        assert_eq!((other_account("shop"), other_account("shop_2")), ("shop_2".to_owned(), "shop".to_owned()));
        let (one, two) = (random(40).unwrap(), random(40).unwrap());
        assert!(one.len() == 40 && one != two && one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
