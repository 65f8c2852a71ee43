//! `tagline demo` as a stranger would use it: from its tag through the prompt to a shop that answers.

use std::time::Duration;

use tagline_tests::{Scratch, Tagline};

/// With the home of who runs the test: Rust's tool chain lives there.
fn tagline(scratch: &Scratch) -> Tagline {
    let tagline = scratch.tagline().limit(Duration::from_mins(15));
    match std::env::var("HOME") {
        Ok(home) => tagline.env("HOME", &home),
        Err(_) => tagline,
    }
}

#[test]
fn the_shop_is_released_from_its_tag_through_the_prompt_to_production() {
    let scratch = Scratch::new();
    let folder = scratch.join("demo");
    let place = folder.to_str().unwrap();
    let mut terminal = tagline(&scratch).terminal(["demo", "--folder", place]);
    terminal.expect("The platform runs at http://127.0.0.1:");
    terminal.expect(&format!("$ tagline run --repo {place}/storefront --tag v1.2.3 --store sqlite://{place}/store"));
    terminal.expect("Run 1  storefront v1.2.3");
    // Two jobs compile the shop.
    terminal.expect_within(Duration::from_mins(10), "✓ sbom");
    terminal.expect("✓ image");
    terminal.expect("staging: 1.2.3 is live in staging  http://127.0.0.1:");
    let page = terminal.expect("quit (leave it waiting) >");
    for part in ["Approve storefront 1.2.3 for production?", "image@sha256:", "Switch the traffic", "you@example.com"] {
        assert!(page.contains(part), "the page lacks {part}:\n{page}");
    }
    terminal.line("approve");
    terminal.expect("Comment");
    terminal.line("");
    terminal.expect("Type 1.2.3 to approve for production:");
    terminal.line("1.2.3");
    let (code, text) = terminal.end();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("✓ Run 1 succeeded: storefront 1.2.3 is live in production"), "{text}");
    let answer = text.lines().find(|line| line.contains("/q/info answers")).expect("the shop's answer");
    assert!(answer.contains("1.2.3"), "{answer}");
    assert!(text.contains("skipped: vars.NOTIFY == 'on' is false"), "{text}");
    assert!(text.contains(&format!("Everything else is kept in {place}")), "{text}");

    // What it says to look at is there, and nothing of it runs any more.
    let store = format!("sqlite://{place}/store");
    let shown = scratch.tagline().run(["show", "1", "--store", &store, "--json"]).json();
    assert_eq!(shown["approvals"][0]["by"], "you@example.com", "{shown}");
    scratch.tagline().run(["artifacts", "verify", "1", "--store", &store]).success();
    let url = answer.split_whitespace().find_map(|word| word.strip_prefix("http://")).expect("an address");
    let address = url.split('/').next().unwrap();
    assert!(std::net::TcpStream::connect(address).is_err(), "{address} is stopped with the platform");
}
