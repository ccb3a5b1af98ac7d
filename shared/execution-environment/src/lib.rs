//! Lambda as one process of a function sees it, for tests and the benchmark.
//!
//! An environment is over with an invocation when the runtime *and* the extension ask for the next one:
//! only then are they given it.

mod function;
mod runtime_api;

pub use function::Function;
pub use runtime_api::{Answer, Idle, RuntimeApi};
