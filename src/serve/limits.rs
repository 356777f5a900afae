//! What a server allows.

use std::time::Duration;

use crate::settings::settings;

settings! {
    /// What a server allows. Start from the defaults and set what differs:
    ///
    /// ```
    /// use gripstack::serve::Limits;
    ///
    /// let limits = Limits::new().idle(std::time::Duration::from_secs(15));
    /// # let _ = limits;
    /// ```
    #[derive(Clone, Debug)]
    pub struct Limits {
        /// Connections open at once, upgraded ones included. Beyond it accepting pauses; the kernel's queue waits.
        /// Default 10,000: half of 20,000 file descriptors, the other half is for origins. At least 1.
        pub connections: usize,
        /// Connections of one client: of an address, or of version 6 of its first 64 bits. Default 0: no limit. Beyond it they are
        /// closed at once, and counted. Those of trusted proxies do not count, but for those that the PROXY protocol tells of.
        pub connections_per_client: usize,
        /// Longest TLS handshake, and longest wait for a header of the PROXY protocol. Default 10 s. The connection is closed.
        pub handshake: Duration,
        /// Longest wait for a first byte on a new connection (then it is closed), and from the first byte of a head to
        /// its last (then `408`). Default 10 s. HTTP/1; on HTTP/2 `idle` covers it.
        pub head: Duration,
        /// Longest wait for the next request on a connection, from when the last answer is with the kernel. Default 60 s. HTTP/1
        /// closes, HTTP/2 sends GOAWAY. Also how
        /// long the answer to an HTTP/1 client that sends 4 KiB and more behind its request may pause: the client would not be
        /// seen to leave. It is cut, and counted among those who stalled. Of a held stream up to 64 KiB are read and dropped.
        pub idle: Duration,
        /// Longest head, request line and fields, in bytes; also the longest trailer section. Default 32 KiB.
        /// Answered with `431`.
        pub head_bytes: usize,
        /// Most field lines in a head, and in a trailer section. Default 100. Answered with `431`.
        pub head_fields: usize,
        /// Longest request target, in bytes (RFC 9110 4.1 asks for 8,000 at least). Default 8 KiB, at most 65,534.
        /// Answered with `414`.
        pub target_bytes: usize,
        /// Slowest request body, in bytes a second, counted only while the service waits for it. Default 100;
        /// 0 is no limit. Answered with `408`, or the body breaks off where the answer has begun. Not of
        /// gRPC on HTTP/2, whose messages may be minutes apart.
        pub body_rate: u32,
        /// How long a body may stay below `body_rate`, and how long it may pause. Default 30 s.
        pub body_grace: Duration,
        /// Longest time in which nothing of a body of gRPC comes while the service waits for it (HTTP/2). Default 1 h. The body
        /// breaks off.
        pub grpc_silence: Duration,
        /// Longest time in which a reader takes nothing of what is ready for it. Default 30 s. The connection is
        /// cut, and counted. On HTTP/2 the stream is, if it is its window that has no room for 16 KiB in that time, or for
        /// the rest of a shorter answer; the time in which the connection as a whole takes nothing more does not count for that.
        pub stall: Duration,
        /// Most bytes of a response that wait in user space for a slow reader, for one HTTP/1 connection or HTTP/2
        /// stream, apart from one chunk of the body. Default 64 KiB, at least 8 KiB.
        pub send_buffer_bytes: usize,
        /// Concurrent streams of an HTTP/2 connection (RFC 9113 5.1.2). Default 128.
        pub h2_streams: u32,
        /// Receive window of an HTTP/2 stream, in bytes. Default 256 KiB.
        pub h2_stream_window_bytes: u32,
        /// Receive window of an HTTP/2 connection, in bytes. Default 1 MiB.
        pub h2_connection_window_bytes: u32,
        /// Streams that a client has reset before they were accepted, at once; beyond it GOAWAY. Default 20.
        pub h2_pending_resets: usize,
        /// Streams that were reset for the client's errors in the life of a connection; beyond it GOAWAY. Default 256.
        pub h2_error_resets: usize,
        /// Streams that an HTTP/2 client may reset at once, and again within 5 s; ten frames of PING, SETTINGS or DATA without
        /// bytes count as one. Beyond it GOAWAY, and the connection is cut, and counted. Default 1,000.
        pub h2_resets: u32,
        /// How often an HTTP/2 client is pinged. Default 30 s.
        pub h2_ping: Duration,
        /// How long a ping may stay unanswered. Default 20 s. The connection is closed. A ping stands behind what was sent before
        /// it: a reader that takes longer for what its buffers hold is closed, too.
        pub h2_ping_timeout: Duration,
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_client: 0,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            head_bytes: 32 * 1024,
            head_fields: 100,
            target_bytes: 8 * 1024,
            body_rate: 100,
            body_grace: Duration::from_secs(30),
            grpc_silence: Duration::from_secs(3600),
            stall: Duration::from_secs(30),
            send_buffer_bytes: 64 * 1024,
            h2_streams: 128,
            h2_stream_window_bytes: 256 * 1024,
            h2_connection_window_bytes: 1024 * 1024,
            h2_pending_resets: 20,
            h2_error_resets: 256,
            h2_resets: 1_000,
            h2_ping: Duration::from_secs(30),
            h2_ping_timeout: Duration::from_secs(20),
        }
    }
}
