//! x

pub mod pb;
