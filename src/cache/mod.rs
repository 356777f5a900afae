//! placeholder
pub(crate) mod policy;
