//! Errors that more than one room shares.

/// An error of a body, or of a service below an edge, whatever its type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
