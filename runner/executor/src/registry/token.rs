//! From Docker's identity token to a token that the registry takes: OAuth2's refresh, at the server that the registry
//! names.
//!
//! Invariant: the identity token, which lasts for months, is sent by TLS, or stays on this machine.

use http_auth::parse_challenges;
use oci_client::Reference;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde::Deserialize;

use super::{AGENT, Access, CONNECT, READ, is_loopback};
use crate::error::chain;

/// Where a registry has its tokens from.
struct Server {
    realm: String,
    service: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Granted {
    access_token: String,
    token: String,
}

/// A token for one image's repository; none where the registry asks for no login. It lasts for minutes: an upload that
/// takes longer is refused by the registry.
pub(super) async fn access(
    image: &Reference,
    refresh: &str,
    access: Access,
    scheme: &str,
) -> Result<Option<String>, String> {
    // No redirects: they could lead the identity token elsewhere.
    let client = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT).read_timeout(READ);
    let client = client.user_agent(AGENT).build().map_err(|error| chain(&error))?;
    let asked = client.get(format!("{scheme}://{}/v2/", image.resolve_registry())).send().await;
    let Some(server) = server(&asked.map_err(|error| chain(&error))?)? else {
        return Ok(None);
    };
    let may = match access {
        Access::Pull => "pull",
        Access::Push => "pull,push",
    };
    let scope = format!("repository:{}:{may}", image.repository());
    exchange(&client, &server, refresh, &scope).await.map(Some)
}

/// What the registry's answer to a stranger names.
fn server(answer: &Response) -> Result<Option<Server>, String> {
    let Some(header) = answer.headers().get(http::header::WWW_AUTHENTICATE) else {
        let open = answer.status().is_success();
        return if open { Ok(None) } else { Err(format!("{} answers {}", answer.url(), answer.status())) };
    };
    let challenges = header.to_str().ok().and_then(|text| parse_challenges(text).ok()).unwrap_or_default();
    let bearer = challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"));
    let parameter = |wanted: &str| {
        let found = bearer?.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_unescaped())
    };
    match parameter("realm") {
        Some(realm) => Ok(Some(Server { realm, service: parameter("service") })),
        None => Err("it wants a user and a password, and names no server of tokens".to_owned()),
    }
}

async fn exchange(client: &Client, server: &Server, refresh: &str, scope: &str) -> Result<String, String> {
    let realm: Url = server.realm.parse().map_err(|_| format!("its server of tokens is no URL: {}", server.realm))?;
    let at = realm.host_str().unwrap_or_default();
    if realm.scheme() != "https" && !is_loopback(at) {
        return Err(format!("its server of tokens, {realm}, is reached without TLS"));
    }
    let mut form =
        vec![("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", "tagline"), ("scope", scope)];
    form.extend(server.service.as_deref().map(|service| ("service", service)));
    let body = encoded(&form);
    let request = client.post(realm.clone()).header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = request.body(body).send().await.map_err(|error| chain(&error))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("{realm} answers {status}"));
    }
    let granted: Granted = answer.json().await.map_err(|error| format!("{realm}: {}", chain(&error)))?;
    let token = Some(granted.access_token).filter(|token| !token.is_empty()).unwrap_or(granted.token);
    if token.is_empty() { Err(format!("{realm} answers without a token")) } else { Ok(token) }
}

/// As a form is sent.
fn encoded(form: &[(&str, &str)]) -> String {
    let mut url: Url = "http://form".parse().expect("a constant URL");
    url.query_pairs_mut().extend_pairs(form);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(
            encoded(&[("a", "b c&d"), ("scope", "repository:x/y:pull,push")]),
            "a=b+c%26d&scope=repository%3Ax%2Fy%3Apull%2Cpush"
        );
    }

    #[tokio::test]
    async fn an_identity_token_does_not_leave_the_machine_in_the_open() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = Server { realm: "http://tokens.example/token".to_owned(), service: None };
        let error = exchange(&Client::new(), &server, "long-lived", "s").await.unwrap_err();
        assert_eq!(error, "its server of tokens, http://tokens.example/token, is reached without TLS");
    }
}
