//! How a message is published: the two forms that the peers speak.

use clap::ValueEnum;

use crate::events::payload;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// `POST /publish/` with an item of GRIP.
    Grip,
    /// `POST /pub/<channel>`, of which the server makes an event.
    Raw,
}

impl Form {
    /// The whole request.
    pub fn request(self, channel: &str, number: u32) -> Vec<u8> {
        let payload = payload(number);
        let (path, body) = match self {
            Form::Grip => (
                "/publish/".to_owned(),
                format!(
                    r#"{{"items":[{{"channel":"{channel}","formats":{{"http-stream":{{"content":"data: {payload}\n\n"}}}}}}]}}"#
                ),
            ),
            Form::Raw => (format!("/pub/{channel}"), payload),
        };
        let length = body.len();
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    }

    /// The word for it on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Form::Grip => "grip",
            Form::Raw => "raw",
        }
    }
}
