//! Work that a request leaves behind: done once its response is on its way, before Lambda freezes the
//! environment.
//!
//! A client has its answer when the runtime has posted it; the environment is over with the invocation
//! only when its extensions have asked for their next event, too
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>). So the process
//! registers itself as an [`Extension`], and asks once the work is done.
//!
//! Where nobody takes work over, it is done before the answer: in tests, behind a runtime API without
//! extensions, and for what goes on after the deadline of its request.

mod extension;
mod invocation;

pub use extension::Extension;
pub use invocation::{Invocations, Noting, after_answer, in_invocation};
