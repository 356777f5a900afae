//! Instructions as parts of axum's responses.

use axum::http::StatusCode;
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};

use super::{InstructBuilder, InstructError};

/// Adds the instructions to a response, beside its other parts. A mistake in them is a 500 that says which.
///
/// ```
/// use axum::response::IntoResponse;
/// use gripstack::grip::Instruct;
///
/// async fn news() -> impl IntoResponse {
///     (
///         [("content-type", "text/event-stream"), ("cache-control", "s-maxage=600")],
///         Instruct::stream().channel("news"),
///         "data: hello\n\n",
///     )
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # assert_eq!(news().await.into_response().headers()["grip-hold"], "stream");
/// # }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponseParts for InstructBuilder {
    type Error = InstructError;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, InstructError> {
        parts.headers_mut().extend(self.into_headers()?);
        Ok(parts)
    }
}

#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for InstructError {
    fn into_response(self) -> Response {
        tracing::error!(target: "gripstack", error = %self, "a handler made instructions that cannot be sent");
        let line = format!("the instructions of this response cannot be sent: {self}\n");
        (StatusCode::INTERNAL_SERVER_ERROR, line).into_response()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::grip::Instruct;

    #[tokio::test]
    async fn a_mistake_is_an_answer_that_says_which() {
        let response = (Instruct::stream().channel(""), "body").into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!response.headers().contains_key("grip-hold"));
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(
            body,
            "the instructions of this response cannot be sent: the channel name is empty\n"
        );
    }
}
