use super::*;

fn file(text: &str) -> Result<Settings, String> {
    let options = parse_file(text)?;
    Settings::check(options).map_err(|error| error.to_string())
}

fn args(args: &[&str]) -> Result<Settings, String> {
    let args = std::iter::once("edge_server").chain(args.iter().copied());
    let args: Vec<OsString> = args.map(OsString::from).collect();
    match Command::command().try_get_matches_from(&args) {
        Ok(given) => Settings::of(&given).map_err(|error| error.to_string()),
        Err(error) => Err(explain_given(&error, &args).to_string()),
    }
}

/// The error names what is wrong, in one line.
#[track_caller]
fn refused(result: Result<Settings, String>, parts: &[&str]) {
    let error = result.expect_err("must be refused");
    assert!(!error.contains('\n'), "{error}");
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
}

#[test]
fn without_anything_it_is_the_demo_on_loopback() {
    let settings = args(&[]).unwrap();
    assert!(settings.is_demo());
    assert_eq!(settings.listen, "127.0.0.1:7999".parse().unwrap());
    assert_eq!(settings.control, "127.0.0.1:5561".parse().unwrap());
    assert_eq!(settings.purge_mode, Mode::SoftBlock);
    assert!(settings.compress && !settings.open_control && !settings.control_on_public);
    assert!(!settings.websocket_over_http);
    assert_eq!(settings.interval, Duration::from_secs(1));
    assert_eq!(settings.outage, Duration::from_secs(86_400));
    assert_eq!(settings.drain_deadline, Duration::from_secs(10));
}

#[test]
fn a_proxy_purges_hard_by_default() {
    let settings = args(&["--origin", "http://127.0.0.1:8000"]).unwrap();
    assert!(!settings.is_demo());
    assert_eq!(settings.purge_mode, Mode::Hard);
}

#[test]
fn every_option_has_a_variable_and_a_key() {
    let command = Command::command();
    for arg in command.get_arguments() {
        let long = arg.get_long().expect("all options have names");
        let variable = format!("GRIPSTACK_{}", long.to_uppercase().replace('-', "_"));
        assert_eq!(
            arg.get_env().and_then(|env| env.to_str()),
            Some(variable.as_str())
        );
        if long == "config" {
            continue;
        }
        // Wrong for every key, and known to every key.
        let error = parse_file(&format!("{long} = [[1]]")).unwrap_err();
        assert!(
            error.contains(&format!("key {long:?}")) && !error.contains("unknown"),
            "{error}"
        );
    }
}

#[test]
fn secrets_are_hidden_in_help() {
    let command = Command::command();
    for arg in command.get_arguments() {
        let long = arg.get_long().expect("all options have names");
        let secret = matches!(long, "publish-key" | "purge-token" | "grip-key");
        assert_eq!(arg.is_hide_env_values_set(), secret, "{long}");
    }
}

/// Every option, none of them as it is by default.
const EVERYTHING: &str = r#"
listen = "[::1]:80"
control = "127.0.0.1:0"
control-on-public = true
tls-cert = "cert.pem"
tls-key = "key.pem"
max-connections = 10
max-connections-per-client = 3
trusted-proxies = "10.0.0.0/8,::1"
proxy-protocol = true
origin = "http://a"
route = ["b.example=http://b", "c.example/api=https://c"]
origin-ca = "ca.pem"
max-origin-connections = 20
origin-first-byte = "20s"
origin-first-byte-others = "70s"
origin-pause = "40s"
origin-stream-pause = "1h"
origin-head-bytes = "32k"
origin-head-fields = 200
via = "off"
keep-underscores = true
grip-iss = "me"
grip-key = "key"
role = "push"
interval = "250ms"
pace = ["counter-=100ms", "=2s"]
purge-mode = "soft-block"
outage = "1h"
memory = "1G"
cache-bytes = 1024
compress = false
websocket-over-http = true
drain-deadline = "3s"
drain-spread = "1s"
publish-key = "p"
purge-token = "t"
open-control = true
control-host = ["edge.internal"]
log = "warn"
log-query = true
"#;

/// The same with other values.
const OTHER: &str = r#"
listen = "[::1]:81"
control = "127.0.0.1:1"
control-on-public = false
tls-cert = "other.pem"
tls-key = "other.pem"
max-connections = 11
max-connections-per-client = 4
trusted-proxies = "10.0.0.1"
proxy-protocol = false
origin = "http://d"
route = ["e=http://e"]
origin-ca = "other.pem"
max-origin-connections = 21
origin-first-byte = "21s"
origin-first-byte-others = "71s"
origin-pause = "0s"
origin-stream-pause = "2h"
origin-head-bytes = "16k"
origin-head-fields = 201
via = "other"
keep-underscores = false
grip-iss = "you"
grip-key = "other"
role = "cache"
interval = "1s"
pace = ["other=1s"]
purge-mode = "hard"
outage = "2h"
memory = "2G"
cache-bytes = 2048
compress = true
websocket-over-http = false
drain-deadline = "4s"
drain-spread = "2s"
publish-key = "other"
purge-token = "other"
open-control = false
control-host = ["other.internal"]
log = "debug"
log-query = false
"#;

#[test]
fn a_file_sets_everything() {
    let settings = file(EVERYTHING).unwrap();
    assert_eq!(settings.routes.len(), 3);
    assert_eq!(settings.routes[2].pattern, "*");
    assert_eq!(settings.role, Role::Push);
    assert_eq!(settings.memory.cache, 1024);
    assert_eq!(settings.interval, Duration::from_millis(250));
    assert_eq!(settings.sign.unwrap().iss, "me");
    assert_eq!(settings.publish_key.unwrap().reveal(), "p");
    assert!(settings.open_control && settings.log_query && !settings.compress);
    assert!(settings.websocket_over_http);
    assert!(settings.proxy_protocol && settings.trusted_proxies.contains([10, 9, 9, 9].into()));
    assert_eq!(settings.pace[1].interval, Duration::from_secs(2));
}

#[test]
fn what_is_a_list_may_be_one_text_and_the_reverse() {
    let lists = r#"
route = ["a=http://a", "b=http://b"]
pace = ["a=1s", "b=2s"]
trusted-proxies = ["10.0.0.0/8", "::1"]
max-connections = 7
"#;
    let texts = r#"
route = "a=http://a,b=http://b"
pace = "a=1s,b=2s"
trusted-proxies = "10.0.0.0/8,::1"
max-connections = "7"
"#;
    let flags = [
        "--route=a=http://a,b=http://b",
        "--pace=a=1s,b=2s",
        "--trusted-proxies=10.0.0.0/8,::1",
        "--max-connections=7",
    ];
    let expected = format!("{:?}", args(&flags).unwrap());
    for text in [lists, texts] {
        assert_eq!(format!("{:?}", file(text).unwrap()), expected);
    }
}

/// Every option stands in it, and those that are no comment are what it is about.
#[test]
fn the_example_file_is_one() {
    let example = include_str!("../../example.toml");
    let settings = file(example).unwrap();
    assert!(!settings.is_demo() && settings.publish_key.is_some() && settings.purge_token.is_some());
    // "# key = value" is an option that is not set.
    let lines = example.lines().map(|line| match line.strip_prefix("# ") {
        Some(set) if set.contains(" = ") => set,
        _ => line,
    });
    let everything = lines.collect::<Vec<_>>().join("\n");
    // A secret is said once.
    let said_once = everything.lines().filter(|line| !line.contains("-file = "));
    file(&said_once.collect::<Vec<_>>().join("\n")).unwrap();
    let table: toml::Table = everything.parse().unwrap();
    for arg in Command::command().get_arguments() {
        let long = arg.get_long().unwrap();
        assert!(long == "config" || table.contains_key(long), "{long}");
    }
}

/// What Kubernetes is told on the page for operators serves the application, where a Service reaches it.
#[test]
fn the_example_for_kubernetes_is_a_server() {
    let page = include_str!("../../../../docs/operations.md");
    let (_, list) = page.split_once("    args: [").expect("the example has arguments");
    let (list, _) = list.split_once(']').expect("the list ends");
    let given: Vec<&str> = list.split(',').map(|arg| arg.trim().trim_matches('"')).collect();
    let settings = args(&given).unwrap();
    assert!(!settings.is_demo());
    assert!(settings.listen.ip().is_unspecified() && settings.control.ip().is_unspecified());
    assert!(settings.drain_spread > Duration::ZERO);
    for addr in [settings.listen, settings.control] {
        let port = format!("containerPort: {}", addr.port());
        assert!(page.contains(&port), "{port}");
    }
}

#[test]
fn variables_that_are_no_options_are_named() {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let strangers = strangers_of([
        set("PATH", "x"),
        set("GRIPSTACK_LISTEN", "x"),
        set("GRIPSTACK_CONFIG", "x"),
        set("GRIPSTACK_LISTN", "hunter2"),
        set("GRIPSTACK_PORT", "80"),
        // What Kubernetes sets for a Service of this name.
        set("GRIPSTACK_SERVICE_HOST", "10.0.0.1"),
        set("GRIPSTACK_SERVICE_PORT_HTTP", "80"),
        set("GRIPSTACK_PORT", "tcp://10.0.0.1:80"),
        set("GRIPSTACK_PORT_80_TCP_ADDR", "10.0.0.1"),
    ]);
    assert_eq!(
        strangers,
        [
            "GRIPSTACK_LISTN is no option; is GRIPSTACK_LISTEN meant?",
            "GRIPSTACK_PORT is no option; see --help"
        ]
    );
}

#[test]
fn holds_are_spread_over_less_than_the_drain_takes() {
    let refused = |given: &[&str]| {
        refused(args(given), &["--drain-spread", "--drain-deadline", "10s", "20s"]);
    };
    refused(&["--drain-spread=20s"]);
    refused(&["--drain-spread=20s", "--drain-deadline=10s"]);
    assert!(args(&["--drain-spread=10s"]).is_err(), "not even the same");
    assert!(args(&["--drain-spread=20s", "--drain-deadline=25s"]).is_ok());
    assert!(args(&["--drain-deadline=0s"]).is_ok(), "nothing is spread");
}

#[test]
fn what_no_answer_could_keep_is_no_limit() {
    for option in ["origin-first-byte", "origin-first-byte-others"] {
        refused(args(&[&format!("--{option}=0s")]), &[option, "each answer"]);
        refused(file(&format!("{option} = \"0s\"")), &[option, "each answer"]);
    }
    refused(
        args(&["--origin-head-fields=0"]),
        &["origin-head-fields", "at least 1"],
    );
    assert!(args(&["--origin-pause=0s", "--origin-first-byte=1ms"]).is_ok());
}

#[test]
fn the_proxy_protocol_needs_proxies() {
    refused(
        args(&["--proxy-protocol"]),
        &["--proxy-protocol", "--trusted-proxies"],
    );
    refused(
        args(&["--trusted-proxies=10.0.0.0/99"]),
        &["--trusted-proxies", "10.0.0.0/99"],
    );
}

#[test]
fn flags_set_the_same_as_the_file_and_win_over_it() {
    let table: toml::Table = EVERYTHING.parse().unwrap();
    let mut flags = vec!["edge_server".to_owned()];
    for arg in Command::command().get_arguments() {
        let long = arg.get_long().expect("all options have names");
        // What a file has, is given beside.
        if long == "config" || long.ends_with("-file") {
            continue;
        }
        match &table[long] {
            toml::Value::String(text) => flags.push(format!("--{long}={text}")),
            toml::Value::Array(values) => {
                flags.extend(
                    values
                        .iter()
                        .map(|value| format!("--{long}={}", value.as_str().unwrap())),
                );
            }
            value => flags.push(format!("--{long}={value}")),
        }
    }
    let shown = |settings: Settings| {
        let secrets =
            [&settings.publish_key, &settings.purge_token].map(|key| key.as_ref().unwrap().reveal());
        let signs = settings.sign.as_ref().unwrap().key.reveal();
        format!("{secrets:?} {signs} {settings:?}")
    };
    let expected = shown(file(EVERYTHING).unwrap());
    let flags = Command::command().try_get_matches_from(flags).unwrap();
    assert_eq!(shown(Settings::of(&flags).unwrap()), expected);
    let other: toml::Table = OTHER.parse().unwrap();
    for (key, value) in &table {
        assert_ne!(&other[key], value, "{key}");
    }
    assert_eq!(
        shown(Settings::over(parse_file(OTHER).unwrap(), &flags).unwrap()),
        expected
    );
}

#[test]
fn the_defaults_are_those_that_the_help_names() {
    let mut named = 0;
    for demo in [true, false] {
        let base: &[&str] = if demo { &[] } else { &["--origin=http://a"] };
        let unset = format!("{:?}", args(base).unwrap());
        for arg in Command::command().get_arguments() {
            let (long, help) = (arg.get_long().unwrap(), arg.get_help().unwrap().to_string());
            let Some((_, default)) = help.split_once("[default: ") else {
                continue;
            };
            let defaults = default.strip_suffix(']').expect("it ends the help");
            let (always, of_demo) = defaults.split_once("; demo: ").unwrap_or((defaults, defaults));
            let flag = format!("--{long}={}", if demo { of_demo } else { always });
            let set = args(&[base, &[&flag]].concat()).unwrap();
            assert_eq!(format!("{set:?}"), unset, "{flag}");
            named += 1;
        }
    }
    assert_eq!(named, 2 * 22, "those that have a default other than none");
}

#[test]
fn what_is_set_first_wins() {
    let flags = ["edge_server", "--interval", "2s", "--compress=false"];
    let flags = Command::command().try_get_matches_from(flags).unwrap();
    let file = parse_file("interval = \"5s\"\noutage = \"5s\"\ncompress = true").unwrap();
    let settings = Settings::over(file, &flags).unwrap();
    assert_eq!(settings.interval, Duration::from_secs(2));
    assert_eq!(settings.outage, Duration::from_secs(5));
    assert!(!settings.compress);
}

#[test]
fn a_variable_wins_over_the_file_and_a_flag_over_it() {
    // One that is set wherever this runs.
    let command = Command::command().mut_arg("log", |arg| arg.env("PATH"));
    let path = std::env::var("PATH").unwrap();
    for (flags, expected) in [
        (&["edge_server"][..], &*path),
        (&["edge_server", "--log=warn"], "warn"),
    ] {
        let given = command.clone().try_get_matches_from(flags).unwrap();
        let file = parse_file("log = \"debug\"").unwrap();
        assert_eq!(Settings::over(file, &given).unwrap().log, expected);
    }
}

#[test]
fn errors_of_flags_name_the_flag() {
    refused(
        args(&["--listen", "localhost"]),
        &["--listen", "localhost", "not an address"],
    );
    refused(
        args(&["--control", "127.0.0.1"]),
        &["--control", "not an address"],
    );
    refused(args(&["--origin", "127.0.0.1:80"]), &["--origin", "http://"]);
    refused(args(&["--origin", "ftp://a"]), &["--origin", "http://"]);
    refused(args(&["--route", "a"]), &["--route", "HOST[/PREFIX]=URL"]);
    refused(
        args(&["--role", "pull"]),
        &["--role", "pull", "push", "cache", "both"],
    );
    refused(args(&["--interval", "1"]), &["--interval", "not a time"]);
    refused(args(&["--outage", "1w"]), &["--outage", "not a time"]);
    refused(
        args(&["--drain-deadline", "-"]),
        &["--drain-deadline", "not a time"],
    );
    refused(args(&["--purge-mode", "soft"]), &["--purge-mode", "soft-block"]);
    refused(
        args(&["--cache-bytes", "1T"]),
        &["--cache-bytes", "not a number of bytes"],
    );
    refused(args(&["--max-connections", "many"]), &["--max-connections"]);
    refused(
        args(&["--max-connections", "0"]),
        &["--max-connections", "at least 1"],
    );
    refused(args(&["--compress=maybe"]), &["--compress", "maybe"]);
    refused(args(&["--listen"]), &["--listen", "value"]);
    refused(args(&["--lisen", "127.0.0.1:1"]), &["--lisen", "--listen"]);
    refused(
        args(&["--config", "/does/not/exist"]),
        &["--config", "/does/not/exist"],
    );
}

#[test]
fn errors_of_the_file_name_the_key() {
    refused(file("listne = \"a\""), &["unknown key", "listne"]);
    refused(file("config = \"a\""), &["unknown key", "config"]);
    refused(file("[listen]\na = 1"), &["\"listen\""]);
    refused(file("listen = \"localhost\""), &["\"listen\"", "not an address"]);
    refused(file("listen = true"), &["\"listen\"", "string"]);
    refused(file("route = \"a\""), &["\"route\"", "HOST[/PREFIX]=URL"]);
    refused(file("route = [\"a\"]"), &["\"route\"", "HOST[/PREFIX]=URL"]);
    refused(file("role = \"pull\""), &["\"role\"", "pull"]);
    refused(file("interval = 1"), &["\"interval\"", "not a time"]);
    refused(file("compress = \"yes\""), &["\"compress\"", "true or false"]);
    refused(file("max-connections = -1"), &["\"max-connections\"", "a number"]);
    refused(
        file("max-connections = \"many\""),
        &["\"max-connections\"", "many", "not a number"],
    );
    refused(file("trusted-proxies = [1]"), &["\"trusted-proxies\"", "string"]);
    refused(
        file("trusted-proxies = [\"10.0.0.0/8\", \"a\"]"),
        &["\"trusted-proxies\"", "\"a\""],
    );
    refused(
        file("log-query = true\nlog-query = true"),
        &["line 2", "\"log-query\"", "twice"],
    );
    refused(file("\n\nlisten = "), &["line 3"]);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    refused(
        args(&["--open-control", "--control", "0.0.0.0:1"]),
        &["--open-control", "0.0.0.0:1", "loopback"],
    );
    refused(
        args(&["--open-control", "--control-on-public", "--listen", "0.0.0.0:1"]),
        &["--open-control", "--listen", "loopback"],
    );
    assert!(args(&["--open-control", "--listen", "0.0.0.0:1"]).is_ok());
    refused(args(&["--tls-cert", "a"]), &["--tls-cert", "--tls-key"]);
    refused(args(&["--tls-key", "a"]), &["--tls-key", "--tls-cert"]);
    refused(args(&["--grip-iss", "a"]), &["--grip-iss", "--grip-key"]);
    refused(args(&["--grip-key", "a"]), &["--grip-key", "--grip-iss"]);
    refused(args(&["--role", "cache"]), &["--role", "--origin"]);
    refused(args(&["--origin-ca", "a"]), &["--origin-ca", "--origin"]);
    refused(args(&["--publish-key", ""]), &["--publish-key", "empty"]);
    refused(args(&["--purge-token", " "]), &["--purge-token", "empty"]);
    refused(
        args(&["--grip-iss", "a", "--grip-key", ""]),
        &["--grip-key", "empty"],
    );
}

#[test]
fn a_secret_that_looks_like_an_option_is_not_shown() {
    for secret in ["--S3CR3T", "-S3CR3T", "--publish-keyS3CR3T"] {
        for option in SECRETS {
            let error = args(&[&format!("--{option}"), secret, "--log=warn"]).expect_err("not a value");
            assert!(!error.contains("S3CR3T") && !error.contains("-S"), "{error}");
            assert!(error.contains(&format!("--{option}=VALUE")), "{error}");
        }
        let settings = args(&[&format!("--purge-token={secret}")]).unwrap();
        assert_eq!(settings.purge_token.unwrap().reveal(), secret);
    }
    refused(args(&["--lisen", "x"]), &["--lisen", "--listen"]);
}

#[test]
fn what_no_request_can_carry_is_no_token() {
    for option in ["publish-key", "purge-token"] {
        for (secret, why) in [
            ("S3CR3T\n", "line break"),
            ("S3C\0R3T", "control character"),
            ("S3C\u{7f}R3T", "control character"),
            (" S3CR3T", "space"),
            ("S3CR3T\t", "space"),
        ] {
            let error = args(&[&format!("--{option}={secret}")]).expect_err("nobody could present it");
            assert!(error.contains(option) && error.contains(why), "{error}");
            assert!(!error.contains("S3C"), "{error}");
        }
        assert!(args(&[&format!("--{option}=a b,c;\u{e4}")]).is_ok());
    }
}

#[test]
fn secrets_are_in_no_text() {
    for text in [
        "publish-key = \"hunter2",
        "publish-key = hunter2",
        "publish-key = [\"hunter2\"]",
        "publish-key = { hunter2 = \"hunter2\" }",
        "purge-token = 22222",
        "purge-token = 2.2222",
        "grip-key = 1979-05-27",
        "listen = \"127.0.0.1:1\"\ngrip-key = '''hunter2",
    ] {
        let error = file(text).expect_err("must be refused");
        for secret in ["hunter2", "2222", "1979"] {
            let error = error.replace("127.0.0.1", "");
            assert!(!error.contains(secret), "{error}");
        }
    }
    for wrong in [
        &["--publish-key=hunter2", "--publish-key=hunter2"][..],
        &["--publish-key=", "hunter2"],
        &["--publishkey=hunter2"],
    ] {
        let error = args(wrong).expect_err("must be refused");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let settings = args(&[
        "--publish-key=hunter2",
        "--purge-token=hunter2",
        "--grip-iss=a",
        "--grip-key=hunter2",
    ])
    .unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
}
