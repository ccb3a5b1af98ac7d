//! Looking patients up: how names and numbers are folded, what is stored to find them by, and how a
//! query is answered.
//!
//! A patient and a query go through the same folding, so that the database only compares bytes.

pub(crate) mod catch_up;
pub(crate) mod find;
pub(crate) mod fold;
pub mod phonetic;
pub(crate) mod query;
pub(crate) mod terms;
pub mod vocabulary;
