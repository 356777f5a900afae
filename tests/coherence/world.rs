//! An application with a value, and an edge in front of it, each behind real sockets.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gripstack::origin::Origin;
use gripstack::publish::{Auth as PublishAuth, PublishConfig, Rule};
use gripstack::purge::Auth as PurgeAuth;
use gripstack::{Edge, EdgeBody, serve};
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::{ServiceBuilder, service_fn};

use crate::client::post;
use crate::varnish::Varnish;

#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub cache: bool,
    pub ids: bool,
    pub announce: Announce,
    pub shape: Shape,
}

/// What stands around the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// One value, one channel.
    Plain,
    /// One URL has a value for each of two languages, each with a channel of its own.
    Variants,
    /// The same, and its event streams are `no-store`: only they name the channels.
    PrivateStreams,
    /// A Varnish between the edge and the application. It is purged before the edge is.
    Varnish,
    /// Only the last message matters, and each says so.
    Latest,
}

pub const LANGUAGES: [&str; 2] = ["en", "de"];
/// Shortest time between two messages that are declared `latest`: about two changes.
const LATEST_INTERVAL: Duration = Duration::from_millis(50);

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
    /// One for each language, or only the first.
    topics: Vec<Topic>,
    varnish: Option<Varnish>,
    tasks: Vec<JoinHandle<()>>,
}

/// A value, and what is known of it.
struct Topic {
    value: Arc<AtomicU64>,
    acked: Arc<Acked>,
}

/// What has been acknowledged, and when that was the last.
pub struct Acked {
    pub value: AtomicU64,
    /// The last value that a client of a hold was told of.
    pub told: AtomicU64,
    /// With each value a purge was acknowledged that is applied: that binds whoever asks later, told or not.
    purges: bool,
    deadline: tokio::sync::watch::Sender<(u64, Option<Instant>)>,
}

/// Xorshift.
pub struct Random(pub u64);

impl World {
    pub async fn start(setup: Setup, seed: u64) -> Self {
        let topics: Vec<_> = (0..setup.shape.topics()).map(|_| Topic::new(setup)).collect();
        let values = topics.iter().map(|topic| topic.value.clone()).collect();
        let mut tasks = Vec::new();
        let app = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let mut origin = app.local_addr().expect("bound");
        let application = application(values, setup, seed);
        tasks.push(tokio::spawn(drop_output(serve(app, application))));
        let varnish = match setup.shape {
            Shape::Varnish => Some(Varnish::before(origin).await),
            _ => None,
        };
        if let Some(varnish) = &varnish {
            origin = varnish.address;
        }

        let edge = Edge::new();
        let rule = Rule::latest().interval(LATEST_INTERVAL);
        let publishing = match setup.shape {
            Shape::Latest => PublishConfig::new().rule(rule),
            _ => PublishConfig::new(),
        };
        let stack = ServiceBuilder::new()
            .layer(edge.publisher(publishing).layer(PublishAuth::Open))
            .layer(edge.purge_layer(PurgeAuth::Open))
            .layer(edge.hold_layer())
            .layer(edge.cache_layer().enabled(setup.cache))
            .service(Origin::new(&format!("http://{origin}")).expect("a valid url"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        tasks.push(tokio::spawn(drop_output(serve(listener, stack))));
        Self {
            edge: address,
            setup,
            topics,
            varnish,
            tasks,
        }
    }

    pub fn value(&self, topic: usize) -> u64 {
        self.topics[topic].value.load(Ordering::SeqCst)
    }

    pub fn acked(&self, topic: usize) -> Arc<Acked> {
        self.topics[topic].acked.clone()
    }

    /// The application stores the next value, then announces it.
    pub async fn change(&self, topic: usize) {
        let Topic { value, acked } = &self.topics[topic];
        let value = value.fetch_add(1, Ordering::SeqCst) + 1;
        let Setup {
            ids, announce, shape, ..
        } = self.setup;
        let ids = match (ids, shape) {
            (false, _) => String::new(),
            // Whatever is replaced is nobody's predecessor.
            (true, Shape::Latest) => format!(r#","id":"{value}""#),
            (true, _) => format!(r#","id":"{value}","prev-id":"{}""#, value - 1),
        };
        let purge = match announce {
            Announce::Order => r#","purge":["/value"]"#,
            _ => "",
        };
        let channel = LANGUAGES[topic];
        let item = format!(
            r#"{{"items":[{{"channel":"{channel}","formats":{{"http-stream":{{"content":"data: {value}\n\n"}}}}{ids}{purge}}}]}}"#
        );
        if announce != Announce::Publish
            && let Some(varnish) = &self.varnish
        {
            purge_at(varnish.address).await;
        }
        if announce == Announce::PurgeThenPublish {
            purge_at(self.edge).await;
        }
        let (status, body) = post(self.edge, "POST /publish/", &item).await;
        assert_eq!(status, 200, "{body}");
        acked.value.store(value, Ordering::SeqCst);
    }

    /// No change follows in this round: from now on clients have three seconds.
    pub fn settled(&self) {
        for Topic { acked, .. } in &self.topics {
            let last = acked.value.load(Ordering::SeqCst);
            let at = Instant::now() + Duration::from_secs(3);
            acked.deadline.send_replace((last, Some(at)));
        }
    }

    pub async fn stop(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
        if let Some(varnish) = self.varnish {
            varnish.stop().await;
        }
    }
}

async fn purge_at(cache: SocketAddr) {
    let (status, body) = post(cache, "PURGE /value", "").await;
    assert_eq!(status, 200, "{body}");
}

impl Setup {
    /// Whether plain readers get what is announced, or know that they do not. What a foreign cache answers is its own
    /// matter where ours is off.
    pub fn binds_plain_readers(self) -> bool {
        self.cache || self.shape != Shape::Varnish
    }
}

impl Shape {
    /// Values that the URL has.
    pub fn topics(self) -> usize {
        match self {
            Self::Variants | Self::PrivateStreams => LANGUAGES.len(),
            _ => 1,
        }
    }
}

impl Topic {
    fn new(setup: Setup) -> Self {
        let acked = Acked {
            value: AtomicU64::new(0),
            told: AtomicU64::new(0),
            // What is paced is acknowledged before it is applied.
            purges: setup.announce != Announce::Publish && setup.shape != Shape::Latest,
            deadline: tokio::sync::watch::Sender::new((0, None)),
        };
        Self {
            value: Arc::new(AtomicU64::new(0)),
            acked: Arc::new(acked),
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

/// Answers with the value of the client's language, as an event stream that is held or as text. It may read the value
/// and then take its time, or the other way round.
fn application(
    values: Vec<Arc<AtomicU64>>,
    setup: Setup,
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
        let field = |name: &str| {
            let value = request.headers().get(name);
            value
                .map_or("", |value| value.to_str().expect("ascii"))
                .to_owned()
        };
        let (accept, language) = (field("accept"), field("accept-language"));
        let topic = match setup.shape.topics() {
            1 => 0,
            _ => LANGUAGES
                .iter()
                .position(|known| *known == language)
                .expect("known"),
        };
        let (value, random) = (values[topic].clone(), random.clone());
        async move {
            let mut dice = Random(random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst) | 1);
            let early = value.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(dice.below(31))).await;
            let value = if dice.below(2) == 0 {
                early
            } else {
                value.load(Ordering::SeqCst)
            };
            let is_stream = accept == "text/event-stream";
            let control = match setup.shape {
                Shape::PrivateStreams if is_stream => "no-store",
                _ => "s-maxage=600",
            };
            let response = Response::builder()
                .header("cache-control", control)
                .header("vary", "accept, accept-language");
            let response = if is_stream {
                let channel = LANGUAGES[topic];
                let channel = match setup.ids {
                    true => format!("{channel}; prev-id={value}"),
                    false => channel.to_owned(),
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
