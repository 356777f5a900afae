//! x
mod ids;
#[doc(hidden)] pub struct GripHoldLayer;
