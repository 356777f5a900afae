//! An application with a value, and an edge in front of it, each behind real sockets.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gripstack::origin::Origin;
use gripstack::publish::{Auth as PublishAuth, PublishConfig};
use gripstack::purge::Auth as PurgeAuth;
use gripstack::{Edge, EdgeBody, serve};
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::{ServiceBuilder, service_fn};

use crate::client::post;

#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub cache: bool,
    pub ids: bool,
    pub announce: Announce,
}

/// How the application announces a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Announce {
    /// Purge and publication in one order.
    Order,
    PurgeThenPublish,
    Publish,
}

pub struct World {
    pub edge: SocketAddr,
    setup: Setup,
    value: Arc<AtomicU64>,
    acked: Arc<Acked>,
    tasks: Vec<JoinHandle<()>>,
}

/// What has been acknowledged, and when that was the last.
pub struct Acked {
    pub value: AtomicU64,
    /// The last value that a client of a hold was told of.
    pub told: AtomicU64,
    /// A purge was acknowledged with each value: that binds whoever asks later, told or not.
    purges: bool,
    deadline: tokio::sync::watch::Sender<(u64, Option<Instant>)>,
}

/// Xorshift.
pub struct Random(pub u64);

impl World {
    pub async fn start(setup: Setup, seed: u64) -> Self {
        let value = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        let app = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}", app.local_addr().expect("bound"));
        tasks.push(tokio::spawn(drop_output(serve(
            app,
            application(value.clone(), setup.ids, seed),
        ))));

        let edge = Edge::new();
        let stack = ServiceBuilder::new()
            .layer(edge.publisher(PublishConfig::new()).layer(PublishAuth::Open))
            .layer(edge.purge_layer(PurgeAuth::Open))
            .layer(edge.hold_layer())
            .layer(edge.cache_layer().enabled(setup.cache))
            .service(Origin::new(&url).expect("a valid url"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        tasks.push(tokio::spawn(drop_output(serve(listener, stack))));
        let acked = Acked {
            value: AtomicU64::new(0),
            told: AtomicU64::new(0),
            purges: setup.announce != Announce::Publish,
            deadline: tokio::sync::watch::Sender::new((0, None)),
        };
        Self {
            edge: address,
            setup,
            value,
            acked: Arc::new(acked),
            tasks,
        }
    }

    pub fn value(&self) -> u64 {
        self.value.load(Ordering::SeqCst)
    }

    pub fn acked(&self) -> Arc<Acked> {
        self.acked.clone()
    }

    /// The application stores the next value, then announces it.
    pub async fn change(&self) {
        let value = self.value.fetch_add(1, Ordering::SeqCst) + 1;
        let Setup { ids, announce, .. } = self.setup;
        let ids = if ids {
            format!(r#","id":"{value}","prev-id":"{}""#, value - 1)
        } else {
            String::new()
        };
        let purge = match announce {
            Announce::Order => r#","purge":["/value"]"#,
            _ => "",
        };
        let item = format!(
            r#"{{"items":[{{"channel":"updates","formats":{{"http-stream":{{"content":"data: {value}\n\n"}}}}{ids}{purge}}}]}}"#
        );
        if announce == Announce::PurgeThenPublish {
            let (status, body) = post(self.edge, "PURGE /value", "").await;
            assert_eq!(status, 200, "{body}");
        }
        let (status, body) = post(self.edge, "POST /publish/", &item).await;
        assert_eq!(status, 200, "{body}");
        self.acked.value.store(value, Ordering::SeqCst);
    }

    /// No change follows in this round: from now on clients have three seconds.
    pub fn settled(&self) {
        let last = self.acked.value.load(Ordering::SeqCst);
        self.acked
            .deadline
            .send_replace((last, Some(Instant::now() + Duration::from_secs(3))));
    }

    pub async fn stop(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Acked {
    /// Nothing older than this may be the answer to who asks now. What was published, but not purged, binds the
    /// answer to whoever may have been told: before its channel is known, a URL cannot know that it is concerned.
    pub fn oldest(&self) -> u64 {
        let binding = if self.purges { &self.value } else { &self.told };
        binding.load(Ordering::SeqCst)
    }

    /// Resolves three seconds after this value, a round's last, was acknowledged.
    pub async fn too_late(&self, last: u64) {
        let mut deadline = self.deadline.subscribe();
        let is_settled = |(value, at): &(u64, Option<Instant>)| *value >= last && at.is_some();
        let settled = deadline.wait_for(is_settled).await.expect("the world lives").1;
        let at = settled.expect("waited for");
        tokio::time::sleep_until(at).await;
    }
}

async fn drop_output<T>(future: impl IntoFuture<Output = T>) {
    drop(future.await);
}

/// Answers with its value, as an event stream that is held or as text. It may read the value and then take its
/// time, or the other way round.
fn application(
    value: Arc<AtomicU64>,
    ids: bool,
    seed: u64,
) -> impl tower::Service<
    Request<EdgeBody>,
    Response = Response<EdgeBody>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<EdgeBody>, Infallible>> + Send + 'static,
> + Clone
+ Send
+ 'static {
    let random = Arc::new(AtomicU64::new(seed | 1));
    service_fn(move |request: Request<EdgeBody>| {
        let (value, random) = (value.clone(), random.clone());
        async move {
            let mut dice = Random(random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst) | 1);
            let early = value.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(dice.below(31))).await;
            let value = if dice.below(2) == 0 {
                early
            } else {
                value.load(Ordering::SeqCst)
            };
            let response = Response::builder()
                .header("cache-control", "s-maxage=600")
                .header("vary", "accept");
            let accept = request
                .headers()
                .get("accept")
                .map_or("", |accept| accept.to_str().expect("ascii"));
            let response = if accept == "text/event-stream" {
                let channel = if ids {
                    format!("updates; prev-id={value}")
                } else {
                    "updates".into()
                };
                response
                    .header("content-type", "text/event-stream")
                    .header("grip-hold", "stream")
                    .header("grip-channel", channel)
                    .body(EdgeBody::from(format!("data: {value}\n\n")))
            } else {
                response
                    .header("content-type", "text/plain")
                    .body(EdgeBody::from(format!("{value}\n")))
            };
            Ok(response.expect("valid"))
        }
    })
}

impl Random {
    pub fn seed() -> u64 {
        match std::env::var("GRIPSTACK_SEED") {
            Ok(seed) => seed.parse().expect("GRIPSTACK_SEED is a number"),
            Err(_) => RandomState::new().hash_one(0) | 1,
        }
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next();
        self.next() % limit
    }
}
