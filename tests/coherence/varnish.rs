//! A Varnish: a cache that knows nothing of the edge before it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(60);

/// It ends with this.
pub struct Varnish {
    pub address: SocketAddr,
    process: Child,
    directory: PathBuf,
}

/// Whether it is installed. Without it tests say that they skip, and pass; with `GRIPSTACK_REQUIRE_TOOLS=1` they fail.
pub async fn is_there() -> bool {
    let version = command().arg("-V").stderr(Stdio::null()).status().await;
    match version {
        Ok(status) => status.success(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let required = std::env::var_os("GRIPSTACK_REQUIRE_TOOLS").is_some_and(|value| value == "1");
            assert!(
                !required,
                "varnishd is missing, and GRIPSTACK_REQUIRE_TOOLS=1 asks for it"
            );
            println!("SKIPPED: varnishd is missing");
            false
        }
        Err(error) => panic!("varnishd does not start: {error}"),
    }
}

fn command() -> Command {
    // Where it is installed, users need not have in their path.
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("varnishd");
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
    command
}

impl Varnish {
    /// Starts one that asks this application.
    pub async fn before(application: SocketAddr) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = free.local_addr().expect("bound");
        let name = format!("coherence-varnish-{}", address.port());
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("created");
        let vcl = format!(
            r#"
vcl 4.1;
backend application {{ .host = "{}"; .port = "{}"; }}
sub vcl_recv {{ if (req.method == "PURGE") {{ return (purge); }} }}
sub vcl_backend_response {{ set beresp.grace = 0s; set beresp.keep = 0s; }}
"#,
            application.ip(),
            application.port()
        );
        let script = directory.join("default.vcl");
        std::fs::write(&script, vcl).expect("written");
        drop(free);
        let process = command()
            .args(["-F", "-j", "none", "-s", "malloc,32m"])
            .arg("-n")
            .arg(directory.join("work"))
            .arg("-f")
            .arg(&script)
            .arg("-a")
            .arg(address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(
                std::fs::File::create(directory.join("log")).expect("created"),
            ))
            .kill_on_drop(true)
            .spawn()
            .expect("varnishd starts");
        let mut varnish = Self {
            address,
            process,
            directory,
        };
        let ready = tokio::time::timeout(PATIENCE, async {
            while TcpStream::connect(address).await.is_err() {
                if let Some(status) = varnish.process.try_wait().expect("its process") {
                    let log = std::fs::read_to_string(varnish.directory.join("log"));
                    panic!("varnishd ended: {status}: {log:?}");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        ready.await.expect("varnishd listens");
        varnish
    }

    pub async fn stop(mut self) {
        self.process.kill().await.expect("killed");
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
