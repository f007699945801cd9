//! What the machine allows: each as little as can do the same work, measured
//! in the same run as what is held against it.

pub(crate) mod bare_device;
pub(crate) mod bare_http;
pub(crate) mod bare_store;
pub(crate) mod fsync;
