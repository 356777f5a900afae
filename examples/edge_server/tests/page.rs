//! The page, in a real browser. Without Chromium (`CHROMIUM`, else `/usr/bin/chromium`) it tests nothing and says
//! so, or fails with `GRIPSTACK_REQUIRE_TOOLS=1`. Pictures are kept in the target directory's `tmp`.

#[path = "common/browser.rs"]
mod browser;
mod common;

use browser::Browser;
use common::{Server, ask};

const DESK: (u32, u32) = (1280, 860);

/// A browser, or a word that there is none.
fn browser() -> Option<Browser> {
    let browser = Browser::start();
    if browser.is_none() {
        let required = std::env::var("GRIPSTACK_REQUIRE_TOOLS").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "there is no Chromium, and GRIPSTACK_REQUIRE_TOOLS=1 asks for it"
        );
        eprintln!("skipped: there is no Chromium");
    }
    browser
}

#[test]
fn tabs_share_a_counter_and_survive_an_outage() {
    let Some(mut browser) = browser() else {
        return;
    };
    let server = Server::start(&["--publish-key", "key"]);
    let url = format!("http://{}/", server.public);

    let one = browser.open(&url, "light", DESK);
    let two = browser.open(&url, "dark", DESK);
    for tab in [&one, &two] {
        browser.wait(tab, "value", |text| text == "0");
        browser.wait(tab, "clients", |text| text == "2");
        browser.wait(tab, "state", |text| text.starts_with("Live"));
    }
    // A click in one changes both.
    for value in ["1", "2", "3"] {
        browser.click(&two, "plus");
        browser.wait(&two, "value", |text| text == value);
        browser.wait(&one, "value", |text| text == value);
    }
    browser.wait(&two, "last-load", |text| {
        matches!(text, "Hit" | "Shared" | "Miss")
    });

    // Once one of them has loaded it, a third one loads from the cache.
    let third = eventually_hit(&mut browser, &url, ("light", DESK));
    browser.wait(&third, "value", |text| text == "3");
    browser.picture(&third, "light");
    browser.picture(&two, "dark");

    // The application is gone: a new tab still loads, and says what it got.
    browser.click(&third, "stop");
    for tab in [&one, &two, &third] {
        browser.wait(tab, "state", |text| text.contains("goes on without it"));
    }
    let fourth = browser.open(&url, "light", DESK);
    browser.wait(&fourth, "value", |text| text == "3");
    browser.wait(&fourth, "state", |text| text.contains("goes on without it"));
    browser.wait(&fourth, "last-load", |text| matches!(text, "Hit" | "Stale copy"));
    browser.wait(&fourth, "clients", |text| text == "4");
    browser.click(&fourth, "plus");
    browser.wait(&fourth, "state", |text| text.contains("could not be added"));
    assert_eq!(browser.text(&fourth, "value"), "3");

    // And it still receives a publish.
    let item = r#"{"items":[{"channel":"counter-demo","http-stream":{"content":"data: 1000\n\n"}}]}"#;
    let published = ask(server.control, "POST /publish/\nAuthorization: Bearer key", item);
    assert_eq!(published.status, 200, "{published:?}");
    for tab in [&one, &two, &third, &fourth] {
        browser.wait(tab, "value", |text| text == "1000");
    }
    // What was loaded stays what it was, until it is loaded again.
    let loaded = browser.text(&fourth, "last-load");
    assert_ne!(loaded, "Stale copy");
    browser.click(&fourth, "again");
    browser.wait(&fourth, "last-load", |text| text == "Stale copy");
    browser.wait(&fourth, "state", |text| text.contains("goes on without it"));
    browser.wait(&fourth, "curl", |text| text.contains("Bearer KEY"));
    browser.picture(&fourth, "outage-light");
    browser.picture(&two, "outage-dark");

    // Its end.
    browser.click(&fourth, "stop");
    for tab in [&one, &fourth] {
        browser.wait(tab, "state", |text| text.starts_with("Live"));
    }
    browser.click(&fourth, "plus");
    browser.wait(&one, "value", |text| text == "4");
    browser.click(&fourth, "again");
    browser.wait(&fourth, "last-load", |text| {
        matches!(text, "Hit" | "Shared" | "Miss")
    });
    let small = eventually_hit(&mut browser, &url, ("dark", (390, 844)));
    browser.wait(&small, "value", |text| text == "4");
    browser.picture(&small, "small");
}

/// An `EventSource` that got an error is closed for good: the page opens another one.
#[test]
fn a_page_that_was_refused_comes_back() {
    let Some(mut browser) = browser() else {
        return;
    };
    let server = Server::start(&[]);
    // Nothing is stored yet.
    assert_eq!(ask(server.public, "POST /demo/origin/stop", "").status, 200);
    let tab = browser.open(&format!("http://{}/", server.public), "light", (320, 640));
    browser.wait(&tab, "state", |text| {
        text.contains("stopped") && text.contains("no copy")
    });
    assert_eq!(browser.text(&tab, "value"), "–");
    browser.picture(&tab, "refused");
    browser.click(&tab, "stop");
    browser.wait(&tab, "value", |text| text == "0");
    browser.wait(&tab, "state", |text| text.starts_with("Live"));
    browser.click(&tab, "plus");
    browser.wait(&tab, "value", |text| text == "1");

    // A large number fits on a small screen.
    browser.eval(&tab, "show('12345678')");
    browser.picture(&tab, "large");
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.eval(&tab, fits), true);
}

/// A tab whose load is a hit; the first may be the one that fills the cache, and the next may share that load.
fn eventually_hit(browser: &mut Browser, url: &str, (theme, size): (&str, (u32, u32))) -> browser::Tab {
    const MOST_LOADS: usize = 20;
    let tab = browser.open(url, theme, size);
    for _ in 0..MOST_LOADS {
        if browser.wait(&tab, "last-load", |text| !["", "–"].contains(&text)) == "Hit" {
            return tab;
        }
        browser.eval(&tab, "document.getElementById('last-load').textContent = '–'");
        browser.click(&tab, "again");
    }
    panic!("what is loaded is never a hit");
}
