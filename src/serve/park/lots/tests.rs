use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::bell::Bell;
use crate::sync::Mutex;

const PATIENCE: Duration = Duration::from_secs(20);

/// By looking again.
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        thread::yield_now();
    }
}

/// What a connection has been asked, and what it has done.
#[derive(Default)]
struct Desk {
    asked: AtomicU64,
    done: AtomicU64,
    is_over: AtomicBool,
    is_gone: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// A connection that does what it is asked.
struct Clerk(Arc<Desk>);

impl Connection for Clerk {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        *self.0.waker.lock() = Some(cx.waker().clone());
        self.0
            .done
            .store(self.0.asked.load(Ordering::Acquire), Ordering::Release);
        // Its asker goes on before the turn is over.
        thread::yield_now();
        match self.0.is_over.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn ready(&mut self, _: Ready) {}

    fn settle(&mut self, _: &Reactor, _: usize) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.0.is_gone.store(true, Ordering::Release);
    }
}

/// Whoever comes, goes, and wakes those who are gone: each that is woken has its turn, or its asker waits for ever.
#[test]
fn s7_no_wake_is_lost() {
    const ASKERS: usize = 4;
    const COME_AND_GO: usize = 300;
    const ASKS: u64 = 20;
    for may_leave in [true, false] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let bell = Bell::new();
        let lot = {
            let _inside = runtime.enter();
            task::spawn(bell.listen(), may_leave)
        };
        thread::scope(|scope| {
            for asker in 0..ASKERS {
                let lot = &lot;
                scope.spawn(move || {
                    let mut gone: Option<Waker> = None;
                    for nth in 0..COME_AND_GO {
                        let desk = Arc::<Desk>::default();
                        lot.arrive(Box::new(Clerk(desk.clone())));
                        for ask in 1..=ASKS {
                            desk.asked.store(ask, Ordering::Release);
                            // Not there yet: it sees what it is asked as it arrives.
                            let waker = desk.waker.lock().clone();
                            if let Some(waker) = waker {
                                waker.wake_by_ref();
                            }
                            if let Some(gone) = &gone
                                && (nth + ask as usize + asker).is_multiple_of(7)
                            {
                                gone.wake_by_ref();
                            }
                            // Sometimes several at once.
                            if ask % 3 != 1 || ask == ASKS {
                                wait_until("it is done", || desk.done.load(Ordering::Acquire) >= ask);
                            }
                        }
                        desk.is_over.store(true, Ordering::Release);
                        gone = desk.waker.lock().take();
                        gone.as_ref().expect("it had a turn").wake_by_ref();
                        wait_until("it is gone", || desk.is_gone.load(Ordering::Acquire));
                    }
                });
            }
        });
        lot.end();
        wait_until("nobody has it", || Arc::strong_count(&lot) == 1);
        let desk = Arc::<Desk>::default();
        lot.arrive(Box::new(Clerk(desk.clone())));
        assert!(desk.is_gone.load(Ordering::Acquire), "it is over");
    }
}

/// Whoever is there, or about to arrive, when it comes to cutting is cut.
#[test]
fn s7_nobody_is_left_when_all_are_cut() {
    for round in 0..200 {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let bell = Bell::new();
        let lot = {
            let _inside = runtime.enter();
            task::spawn(bell.listen(), round % 2 == 0)
        };
        let desks: Vec<_> = (0..50).map(|_| Arc::<Desk>::default()).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                for desk in &desks {
                    lot.arrive(Box::new(Clerk(desk.clone())));
                }
            });
            match round % 3 {
                0 => bell.ring(),
                1 => drop(runtime),
                _ => {
                    wait_until("some are there", || desks[10].waker.lock().is_some());
                    bell.ring();
                }
            }
        });
        for desk in &desks {
            wait_until("it is cut", || desk.is_gone.load(Ordering::Acquire));
            // Its body, or whom it was given to, may have kept that.
            if let Some(waker) = desk.waker.lock().take() {
                waker.wake();
            }
        }
        wait_until("nobody has it", || Arc::strong_count(&lot) == 1);
    }
}

#[cfg(unix)]
mod sockets {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::body::EdgeBody;
    use crate::serve::limits::Limits;
    use crate::serve::park::Framing;
    use crate::serve::stats::Stats;

    /// Bytes that came between two looks at the poll: closing would reset the connection (RFC 9112 9.6).
    #[tokio::test]
    async fn s7_what_came_unnoticed_does_not_cost_the_client_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let addr = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(addr).await.expect("it listens");
        let (server, _) = listener.accept().await.expect("it came");
        client.write_all(b"more").await.expect("open");
        server.readable().await.expect("open");
        let slot = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("one");
        let own = own::Own::take(server).expect("TCP").expect("it leaves");
        let mut parked = Parked::new(
            own,
            (EdgeBody::empty(), Framing::Chunked),
            0,
            Arc::new(Limits::default()),
            Stats::new().open_connection(slot),
        );
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(parked.poll(cx).is_pending(), "its client still sends");
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.expect("no reset");
        assert_eq!(rest, b"0\r\n\r\n");
    }
}
