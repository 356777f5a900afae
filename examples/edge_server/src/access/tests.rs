use std::io;
use std::sync::mpsc;

use gripstack::testing::{ScriptedBody, check_body};
use tower::{ServiceExt, service_fn};
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// Lines of a log.
#[derive(Clone)]
struct Lines(mpsc::Sender<String>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes).into_owned();
        self.0.send(line).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn logged(test: impl FnOnce()) -> Vec<String> {
    let (tx, rx) = mpsc::channel();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Lines(tx))
        .finish();
    tracing::subscriber::with_default(subscriber, test);
    rx.into_iter().collect()
}

/// What the layer makes of an answer.
fn answer(
    layer: &AccessLayer,
    request: Request<EdgeBody>,
    response: Response<EdgeBody>,
) -> Response<EdgeBody> {
    let mut response = Some(response);
    let service = service_fn(move |_| std::future::ready(Ok(response.take().expect("called once"))));
    let mut answer = tokio_test_now(layer.layer(service).oneshot(request));
    answer.take().expect("it is ready at once")
}

fn tokio_test_now<T>(future: impl Future<Output = Result<T, Infallible>>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(std::task::Waker::noop()))
    {
        Poll::Ready(Ok(value)) => Some(value),
        Poll::Pending => None,
    }
}

fn request(method: Method, uri: &str) -> Request<EdgeBody> {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "example.com");
    request.body(EdgeBody::empty()).expect("the test made it well")
}

fn read(body: EdgeBody) {
    let mut body = std::pin::pin!(body);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(None) => break,
            Poll::Ready(Some(Err(_))) => break,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
    }
}

#[test]
fn the_wrapper_forwards_everything() {
    logged(|| {
        check_body(|body| {
            let line = AccessLayer::new(false).begin(&request(Method::GET, "/"));
            LoggedBody::new(EdgeBody::new(body), line.expect("lines are wanted"), None)
        });
    });
    check_body(|body| HeldBody {
        inner: EdgeBody::new(body),
        _hold: Holds::default().one_more(),
    });
}

#[test]
fn clients_that_are_held_are_counted_whether_they_are_logged_or_not() {
    let layer = AccessLayer::new(false);
    let hold = || {
        let mut response = Response::new(EdgeBody::new(ScriptedBody::new(&[b"one"], None)));
        response.extensions_mut().insert(Held);
        answer(&layer, request(Method::GET, "/"), response)
    };
    let unlogged = hold();
    assert_eq!(layer.holds().count(), 1);
    let lines = logged(|| {
        let logged = hold();
        assert_eq!(layer.holds().count(), 2);
        drop(logged);
        assert_eq!(layer.holds().count(), 1);
    });
    drop(unlogged);
    assert_eq!((layer.holds().count(), lines.len()), (0, 1));
}

#[test]
fn a_line_is_written_at_the_end_and_has_no_query() {
    let layer = AccessLayer::new(false);
    let lines = logged(|| {
        let mut response = Response::new(EdgeBody::new(ScriptedBody::new(&[b"one", b"two"], None)));
        response
            .headers_mut()
            .insert(CACHE_STATUS, HeaderValue::from_static("gripstack; hit"));
        let response = answer(&layer, request(Method::GET, "/a?secret=1"), response);
        tracing::info!("before the end");
        read(response.into_body());
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("before the end"));
    for part in [
        "GET",
        "example.com",
        "path=/a ",
        "status=200",
        "gripstack; hit",
        "complete",
        "bytes=6",
        "seconds=",
    ] {
        assert!(lines[1].contains(part), "{part:?} is missing in {}", lines[1]);
    }
    assert!(!lines[1].contains("secret"));
    // However short: a fixed number of digits, no exponent.
    let seconds = lines[1].split("seconds=").nth(1).expect("it is there").trim();
    let (whole, part) = seconds.split_once('.').expect("a fraction");
    assert!(
        (whole.parse::<u64>().is_ok(), part.len()) == (true, 6),
        "{seconds}"
    );
}

#[test]
fn a_query_is_logged_where_that_is_asked_for() {
    let layer = AccessLayer::new(true);
    let lines = logged(|| {
        drop(answer(
            &layer,
            request(Method::GET, "/a?b=1"),
            Response::new(EdgeBody::empty()),
        ))
    });
    assert!(lines[0].contains("path=/a?b=1"), "{lines:?}");
}

#[test]
fn it_says_who_did_not_wait() {
    let layer = AccessLayer::new(false);
    let lines = logged(|| {
        let body = || EdgeBody::new(ScriptedBody::new(&[b"one"], None));
        drop(answer(
            &layer,
            request(Method::GET, "/left"),
            Response::new(body()),
        ));
        drop(answer(
            &layer,
            request(Method::HEAD, "/head"),
            Response::new(body()),
        ));
        let never = service_fn(|_| std::future::pending::<Result<Response<EdgeBody>, Infallible>>());
        assert!(tokio_test_now(layer.layer(never).oneshot(request(Method::GET, "/never"))).is_none());
    });
    assert!(
        lines[0].contains("/left") && lines[0].contains("client left"),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("/head") && lines[1].contains("complete"),
        "{lines:?}"
    );
    assert!(
        lines[2].contains("/never") && lines[2].contains("before the answer"),
        "{lines:?}"
    );
}

#[test]
fn held_clients_are_counted_while_they_are_held() {
    let layer = AccessLayer::new(false);
    let held = || {
        let mut response = Response::new(EdgeBody::new(ScriptedBody::new(&[b"one"], None)));
        response.extensions_mut().insert(Held);
        answer(&layer, request(Method::GET, "/"), response)
    };
    let (one, two) = (held(), held());
    assert_eq!(layer.holds().count(), 2);
    drop(one);
    assert_eq!(layer.holds().count(), 1);
    read(two.into_body());
    assert_eq!(layer.holds().count(), 0);
}
