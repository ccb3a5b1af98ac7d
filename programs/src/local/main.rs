//! `functions <name>` is the program of that function: the `main` that AWS runs, from
//! `src/bin/<name>.rs`.
//!
//! The local stack runs each function as a process of its own, as AWS does, but all of them from this
//! one file: linking programs took a third of the time after a change, and as much disk as
//! everything else together.

include!(concat!(env!("OUT_DIR"), "/functions.rs"));

fn main() -> Result<(), api::Error> {
    let name = std::env::args().nth(1).unwrap_or_default();
    run(&name).unwrap_or_else(|| Err(format!("there is no function '{name}'").into()))
}
